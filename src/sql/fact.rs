//! Facts of a catalog by which a statement is known to have been applied. Says them; reading a catalog is for others.

use std::fmt;

use super::statement::{Object, ObjectKind, Statement};

/// One thing that a catalog says yes or no to. Names as in [`super::Object`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fact {
    Table {
        name: String,
        present: bool,
    },
    Column {
        table: String,
        column: String,
        present: bool,
    },
    /// `type_name` as PostgreSQL's `format_type` spells it (`character varying(64)`); other dialects: as written, in
    /// lower case. `is: false`: the column has another type.
    ColumnType {
        table: String,
        column: String,
        type_name: String,
        is: bool,
    },
    EnumValue {
        type_name: String,
        value: String,
        present: bool,
    },
    /// The labels of an enum are these, in this order, and no others.
    EnumValues {
        type_name: String,
        values: Vec<String>,
        are: bool,
    },
    /// An index of this name is there (`present`), where with `valid` only a valid one counts.
    /// So `valid: true, present: false` holds for an invalid index, too.
    Index {
        name: String,
        valid: bool,
        present: bool,
    },
    /// `partition` is one of `table` (`present`), where with `whole` one that is half detached does not count.
    Partition {
        table: String,
        partition: String,
        whole: bool,
        present: bool,
    },
    Constraint {
        table: String,
        name: String,
        present: bool,
    },
    /// The constraint was checked against every row (`pg_constraint.convalidated`).
    Validated {
        table: String,
        name: String,
        validated: bool,
    },
    Trigger {
        table: String,
        name: String,
        present: bool,
    },
    /// The trigger is there and fires (`pg_trigger.tgenabled`); `enabled: false` holds for none, too.
    TriggerEnabled {
        table: String,
        name: String,
        enabled: bool,
    },
    NotNull {
        table: String,
        column: String,
        not_null: bool,
    },
    /// With `value`, only a default that is this literal counts (text without its quotes); `present: false` with a value
    /// holds for any other default and for none.
    Default {
        table: String,
        column: String,
        value: Option<String>,
        present: bool,
    },
    /// `name` with its argument types, as `to_regprocedure` reads it: `sync_ref()`.
    Function {
        name: String,
        present: bool,
    },
    /// `digest` is the SHA-256 of the body as the catalog keeps it.
    FunctionBody {
        name: String,
        digest: String,
        is: bool,
    },
    View {
        name: String,
        present: bool,
    },
    Type {
        name: String,
        present: bool,
    },
    Schema {
        name: String,
        present: bool,
    },
}

impl Fact {
    /// Whether it says that something of that name is there, and whole.
    pub fn is_there(&self) -> bool {
        match self {
            Fact::Table { present, .. }
            | Fact::Column { present, .. }
            | Fact::EnumValue { present, .. }
            | Fact::Index { present, .. }
            | Fact::Partition { present, .. }
            | Fact::Constraint { present, .. }
            | Fact::Validated { validated: present, .. }
            | Fact::Trigger { present, .. }
            | Fact::Function { present, .. }
            | Fact::View { present, .. }
            | Fact::Type { present, .. }
            | Fact::Schema { present, .. } => *present,
            _ => false,
        }
    }

    /// The opposite. A statement is not done when the opposites of all its facts hold, and half done when neither all
    /// facts nor all opposites do.
    pub fn not_done(&self) -> Fact {
        let mut fact = self.clone();
        let says = fact.says();
        *says = !*says;
        fact
    }

    /// It says that something is not there, or not so.
    pub fn is_absence(&self) -> bool {
        !*self.clone().says()
    }

    /// The table that has to keep its name for the fact to be read; of a table itself none.
    pub fn table(&self) -> Option<String> {
        self.clone().of().cloned()
    }

    /// The same of a table that has another name now.
    #[must_use]
    pub fn of_table(&self, was: &str, is: &str) -> Fact {
        let mut fact = self.clone();
        if let Some(table) = fact.of().filter(|table| *table == was) {
            is.clone_into(table);
        }
        fact
    }

    fn says(&mut self) -> &mut bool {
        match self {
            Fact::Table { present, .. }
            | Fact::Column { present, .. }
            | Fact::ColumnType { is: present, .. }
            | Fact::EnumValue { present, .. }
            | Fact::EnumValues { are: present, .. }
            | Fact::Index { present, .. }
            | Fact::Partition { present, .. }
            | Fact::Constraint { present, .. }
            | Fact::Validated { validated: present, .. }
            | Fact::Trigger { present, .. }
            | Fact::TriggerEnabled { enabled: present, .. }
            | Fact::FunctionBody { is: present, .. }
            | Fact::NotNull { not_null: present, .. }
            | Fact::Default { present, .. }
            | Fact::Function { present, .. }
            | Fact::View { present, .. }
            | Fact::Type { present, .. }
            | Fact::Schema { present, .. } => present,
        }
    }

    fn of(&mut self) -> Option<&mut String> {
        match self {
            Fact::Column { table, .. }
            | Fact::ColumnType { table, .. }
            | Fact::Constraint { table, .. }
            | Fact::Validated { table, .. }
            | Fact::Trigger { table, .. }
            | Fact::TriggerEnabled { table, .. }
            | Fact::NotNull { table, .. }
            | Fact::Default { table, .. } => Some(table),
            _ => None,
        }
    }
}

/// Whether a `table.column` is there once these statements are applied; `None` where they do not say.
pub fn leaves<'a, I>(statements: I, used: &str) -> Option<bool>
where
    I: IntoIterator<Item = &'a Statement, IntoIter: DoubleEndedIterator>,
{
    let (table, column) = used.rsplit_once('.')?;
    let told = statements.into_iter().rev().find_map(|statement| {
        // A view may take the place of a table.
        let shown = |object: &Object| object.kind == ObjectKind::Column && object.table.as_deref() == Some(table);
        if statement.kind == "CREATE VIEW" && statement.objects.iter().any(|one| shown(one) && one.name == column) {
            return Some(Some(true));
        }
        statement.done.iter().rev().find_map(|fact| match fact {
            Fact::Column { table: t, column: c, present } if t == table && c == column => Some(Some(*present)),
            // Another table comes to the name: what it has is not said.
            Fact::Table { name, present: true } if name == table => Some(None),
            Fact::Table { name, present: false } | Fact::View { name, present: false } if name == table => {
                Some(Some(false))
            }
            _ => None,
        })
    });
    told.flatten()
}

/// The facts by which statements are known to have been applied together: none that held before them, and none that a
/// later one takes back.
pub fn together<'a>(statements: impl IntoIterator<Item = &'a Statement>) -> Vec<Fact> {
    let facts: Vec<&Fact> = statements.into_iter().flat_map(|statement| &statement.done).collect();
    let tells = |at: usize, fact: &Fact| {
        let opposite = fact.not_done();
        let turned = facts.iter().any(|other| **other == opposite);
        // Before, a column's name may have been that of another relation's.
        let replaced = facts[..at].iter().any(|earlier| match (earlier, fact) {
            (Fact::View { name, present: false }, Fact::Column { table, .. }) => name == table,
            (Fact::Table { name, present: false }, Fact::Column { table, .. }) => name == table,
            _ => false,
        });
        // Afterwards, its table may have gone or have another name.
        let gone = facts[at + 1..].iter().any(|later| match later {
            Fact::View { name, present: false } | Fact::Table { name, present: false } => {
                fact.table().as_ref() == Some(name)
            }
            _ => false,
        });
        !turned && !replaced && !gone
    };
    facts.iter().enumerate().filter(|(at, fact)| tells(*at, fact)).map(|(_, fact)| (*fact).clone()).collect()
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = |present: &bool| if *present { "is there" } else { "is not there" };
        match self {
            Fact::Table { name, present } => write!(f, "table {name} {}", there(present)),
            Fact::Column { table, column, present } => write!(f, "column {table}.{column} {}", there(present)),
            Fact::ColumnType { table, column, type_name, is } => {
                write!(f, "column {table}.{column} {} {type_name}", if *is { "is" } else { "is not" })
            }
            Fact::EnumValue { type_name, value, present } => {
                write!(f, "value '{value}' of {type_name} {}", there(present))
            }
            Fact::EnumValues { type_name, values, are } => {
                write!(f, "the values of {type_name} {} {}", if *are { "are" } else { "are not" }, values.join(", "))
            }
            Fact::Index { name, valid: false, present } => write!(f, "index {name} {}", there(present)),
            Fact::Index { name, valid: true, present: true } => write!(f, "index {name} is valid"),
            Fact::Index { name, valid: true, present: false } => write!(f, "index {name} is not valid or not there"),
            Fact::Partition { table, partition, whole, present } => {
                let half = if *whole { "" } else { ", not even half detached" };
                match present {
                    true => write!(f, "{partition} is a partition of {table}"),
                    false => write!(f, "{partition} is no partition of {table}{half}"),
                }
            }
            Fact::Constraint { table, name, present } => write!(f, "constraint {name} on {table} {}", there(present)),
            Fact::Validated { table, name, validated } => {
                write!(
                    f,
                    "constraint {name} on {table} {}",
                    if *validated { "is validated" } else { "is not validated" }
                )
            }
            Fact::Trigger { table, name, present } => write!(f, "trigger {name} on {table} {}", there(present)),
            Fact::TriggerEnabled { table, name, enabled: true } => write!(f, "trigger {name} on {table} is enabled"),
            Fact::TriggerEnabled { table, name, enabled: false } => {
                write!(f, "trigger {name} on {table} is disabled or not there")
            }
            Fact::FunctionBody { name, digest, is } => {
                let short = &digest[..digest.len().min(12)];
                write!(f, "the body of {name} {} {short}…", if *is { "is" } else { "is not" })
            }
            Fact::NotNull { table, column, not_null } => {
                write!(f, "column {table}.{column} {}", if *not_null { "refuses NULL" } else { "accepts NULL" })
            }
            Fact::Default { table, column, value: None, present } => {
                write!(f, "column {table}.{column} has {} default", if *present { "a" } else { "no" })
            }
            Fact::Default { table, column, value: Some(value), present } => {
                write!(f, "the default of column {table}.{column} {} {value}", if *present { "is" } else { "is not" })
            }
            Fact::Function { name, present } => write!(f, "function {name} {}", there(present)),
            Fact::View { name, present } => write!(f, "view {name} {}", there(present)),
            Fact::Type { name, present } => write!(f, "type {name} {}", there(present)),
            Fact::Schema { name, present } => write!(f, "schema {name} {}", there(present)),
        }
    }
}
