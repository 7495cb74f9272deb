//! Facts of a catalog by which a statement is known to have been applied. Says them; reading a catalog is for others.

use std::fmt;

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
    /// The opposite. A statement is not done when the opposites of all its facts hold, and half done when neither all
    /// facts nor all opposites do.
    pub fn not_done(&self) -> Fact {
        let mut fact = self.clone();
        match &mut fact {
            Fact::Table { present, .. }
            | Fact::Column { present, .. }
            | Fact::ColumnType { is: present, .. }
            | Fact::EnumValue { present, .. }
            | Fact::EnumValues { are: present, .. }
            | Fact::Index { present, .. }
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
            | Fact::Schema { present, .. } => *present = !*present,
        }
        fact
    }
}

/// Whether a `table.column` is there once statements with these facts are applied; `None` where they do not say.
pub fn leaves(facts: &[Fact], used: &str) -> Option<bool> {
    let (table, column) = used.rsplit_once('.')?;
    facts.iter().rev().find_map(|fact| match fact {
        Fact::Column { table: t, column: c, present } if t == table && c == column => Some(*present),
        Fact::Table { name, present: false } if name == table => Some(false),
        _ => None,
    })
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
