//! An enum's value that the old code does not know, and what can be done about it: rows moved off it, nobody writes it
//! any more, or a type without it.

use serde::Deserialize;

use super::{bare, beside, elsewhere, fit, literal, quoted, quoted_ident};

/// What the catalog holds of an enum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct TypeFacts {
    pub schema: String,
    /// In their order.
    pub labels: Vec<String>,
    /// Where it is another than who asks.
    pub owner: Option<String>,
    /// Roles that were granted its use; `None`: everybody.
    pub granted: Vec<Option<String>>,
    /// Columns of tables, partitions left out.
    pub uses: Vec<Use>,
    /// What else is made of it or of those columns, as the server describes it.
    pub hinders: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Use {
    pub table: String,
    pub column: String,
    /// The one column of the primary key; `None`: it has none, or several.
    pub key: Option<String>,
    pub array: bool,
    pub default: Option<String>,
}

/// One column's part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub table: String,
    pub column: String,
    pub key: String,
    /// Rows with the value, by key.
    pub rows: String,
    /// `{{ set }}` stands for them.
    pub change: String,
    /// The stop-gap, and its end.
    pub stop: String,
    pub go_on: String,
}

/// A type without the value, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuild {
    pub ddl: Vec<String>,
    pub undo: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueShim {
    pub parts: Vec<Part>,
    /// Or every reason why not.
    pub rebuild: Result<Rebuild, Vec<String>>,
    pub limits: Vec<String>,
}

/// Rows with `label` become `to`.
///
/// # Errors
/// Every reason why it is refused.
pub fn value(type_name: &str, label: &str, to: &str, facts: &TypeFacts) -> Result<ValueShim, Vec<String>> {
    let mut refused = Vec::new();
    for name in [label, to] {
        if !facts.labels.iter().any(|known| known == name) {
            refused.push(format!("{type_name} has no value '{name}': it has {}", facts.labels.join(", ")));
        }
    }
    if facts.schema != "public" && !type_name.contains('.') {
        refused.push(elsewhere("type", &facts.schema));
    }
    if label == to {
        refused.push("the value to move rows to is the value itself".to_owned());
    }
    let mut parts = Vec::new();
    for one in &facts.uses {
        let place = format!("{}.{}", one.table, one.column);
        match &one.key {
            _ if one.array => {
                refused.push(format!("{place} holds lists of it: what becomes of a list is to be written by hand"))
            }
            None => refused
                .push(format!("{} has no primary key of one column, so its rows cannot be kept by key", one.table)),
            Some(key) => parts.push(part(one, key, label, to)),
        }
        if one.default.as_deref().and_then(text_of).as_deref() == Some(label) {
            refused.push(format!("'{label}' is the default of {place}: give it another one first"));
        }
    }
    if facts.uses.is_empty() {
        refused.push(format!("no column of a table has the type {type_name}"));
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    Ok(ValueShim {
        parts,
        rebuild: rebuild(type_name, label, facts),
        limits: vec![
            format!(
                "the value stays in {type_name}: PostgreSQL has no DROP VALUE, and code that lists the values still meets it"
            ),
            format!(
                "under the stop-gap no row with '{label}' can be updated at all, but to take the value away: move the rows soon after"
            ),
            "the stop-gap is NOT VALID: it holds for what is written from now on, and no old row is looked at"
                .to_owned(),
        ],
    })
}

fn part(one: &Use, key: &str, label: &str, to: &str) -> Part {
    let Use { table, column, .. } = one;
    let (on, col, id, old, new) = (quoted(table), quoted_ident(column), quoted_ident(key), literal(label), literal(to));
    let stop = quoted_ident(&fit(format!("{}_{column}_not_{label}", bare(table))));
    Part {
        table: table.clone(),
        column: column.clone(),
        key: key.to_owned(),
        // As text, under a name of its own: a kept table of the type itself would stand in the way of its end.
        rows: format!(
            "SELECT {id}, {col}::text AS {} FROM {on} WHERE {col}::text = {old}",
            quoted_ident(&fit(format!("{column}_as_text")))
        ),
        change: format!(
            "UPDATE {on} AS o SET {col} = {new} FROM {{{{ set }}}} AS s\nWHERE o.{id} = s.{id} AND o.{col} = {old}"
        ),
        go_on: format!("ALTER TABLE {on} DROP CONSTRAINT {stop}"),
        stop: format!("ALTER TABLE {on} ADD CONSTRAINT {stop} CHECK ({col} <> {old}) NOT VALID"),
    }
}

fn rebuild(type_name: &str, label: &str, facts: &TypeFacts) -> Result<Rebuild, Vec<String>> {
    let mut hinders: Vec<_> =
        facts.hinders.iter().map(|what| format!("{what} is made of it and would have to go first")).collect();
    let (new, on) = (beside(type_name, &fit(format!("{}_new", bare(type_name)))), quoted(type_name));
    let kept: Vec<_> = facts.labels.iter().filter(|known| *known != label).map(|known| literal(known)).collect();
    let mut ddl = vec![format!("CREATE TYPE {} AS ENUM ({})", quoted(&new), kept.join(", "))];
    for one in &facts.uses {
        let (table, column) = (quoted(&one.table), quoted_ident(&one.column));
        let default = match one.default.as_deref() {
            Some(default) => match text_of(default) {
                Some(text) => Some(text),
                None => {
                    hinders.push(format!("the default of {}.{} ({default}) is no plain value", one.table, one.column));
                    continue;
                }
            },
            None => None,
        };
        let alter = |what: &str| format!("ALTER TABLE {table} ALTER COLUMN {column} {what}");
        ddl.extend(default.as_ref().map(|_| alter("DROP DEFAULT")));
        ddl.push(alter(&format!("TYPE {new} USING {column}::text::{new}", new = quoted(&new))));
        ddl.extend(default.map(|text| alter(&format!("SET DEFAULT {}", literal(&text)))));
    }
    ddl.push(format!("DROP TYPE {on}"));
    ddl.push(format!("ALTER TYPE {} RENAME TO {}", quoted(&new), quoted_ident(bare(type_name))));
    ddl.extend(facts.owner.as_ref().map(|owner| format!("ALTER TYPE {on} OWNER TO {}", quoted_ident(owner))));
    ddl.extend(facts.granted.iter().map(|role| {
        let role = role.as_deref().map_or_else(|| "PUBLIC".to_owned(), quoted_ident);
        format!("GRANT USAGE ON TYPE {on} TO {role}")
    }));
    if !hinders.is_empty() {
        return Err(hinders);
    }
    let at = facts.labels.iter().position(|known| known == label).unwrap_or_default();
    let place = match facts.labels.get(at + 1) {
        Some(next) => format!("BEFORE {}", literal(next)),
        None => format!("AFTER {}", literal(&facts.labels[at.saturating_sub(1)])),
    };
    Ok(Rebuild { ddl, undo: vec![format!("ALTER TYPE {on} ADD VALUE {} {place}", literal(label))] })
}

/// The text of a default like `'new'::order_status`.
fn text_of(default: &str) -> Option<String> {
    let (quoted, _) = default.rsplit_once("::")?;
    let inner = quoted.strip_prefix('\'')?.strip_suffix('\'')?;
    (!inner.replace("''", "").contains('\'')).then(|| inner.replace("''", "'"))
}
