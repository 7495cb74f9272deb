//! A view under the wanted name, over the one table: nothing is copied, so nothing can differ.

use super::{Form, Rename, Shim, Table, bare, beside, drift, fit, grants, published, quoted, quoted_ident};

/// Since then a view can act with the rights of whoever asks.
const INVOKER: u32 = 15;

/// What a view can be granted.
const RIGHTS: [&str; 6] = ["SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "TRIGGER"];

pub(super) fn make(rename: &Rename, table: &Table, mut refused: Vec<String>) -> Result<Shim, Vec<String>> {
    let from = rename.table();
    // The name that the view takes, and the table's name meanwhile.
    let (name, base) = match rename {
        Rename::Column { table, .. } => (table.clone(), beside(table, &fit(format!("{}_base", bare(table))))),
        Rename::Table { from, to } => (to.clone(), from.clone()),
    };
    let extra = match rename {
        Rename::Column { from, to, .. } => Some((from.as_str(), to.as_str())),
        Rename::Table { .. } => None,
    };
    let new = if extra.is_some() { &base } else { &name };
    if table.taken.iter().any(|taken| taken == bare(new)) {
        refused.push(format!("{new} is there already"));
    }
    if let Some((column, to)) = extra {
        if !table.columns.iter().any(|one| one.name == column) {
            refused.push(format!("{name} has no column {column}"));
        }
        if table.columns.iter().any(|one| one.name == to) {
            refused.push(format!("{name} has a column {to} already"));
        }
    }
    if table.child {
        refused.push(format!("{from} is a partition or inherits: what reaches its parent does not meet the view"));
    }
    if table.rules {
        refused.push(format!("{from} has rules, which rewrite what is written"));
    }
    if table.row_security && table.major < INVOKER {
        refused.push(format!(
            "{from} has row security, and a view acts with the rights of its owner before PostgreSQL {INVOKER}: rows would be shown that are hidden now"
        ));
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    let mut ddl = Vec::new();
    if extra.is_some() {
        ddl.push(renamed(&name, &base));
    }
    ddl.push(view(&name, &base, extra, table));
    if let Some(owner) = &table.owner {
        ddl.push(format!("ALTER VIEW {} OWNER TO {}", quoted(&name), quoted_ident(owner)));
    }
    let rights = table.grants.iter().filter(|grant| RIGHTS.contains(&grant.right.as_str()));
    ddl.extend(grants(rights, &name, |column| match extra {
        Some((from, to)) if from == column => vec![from.to_owned(), to.to_owned()],
        _ => vec![column.to_owned()],
    }));
    let mut undo = vec![format!("DROP VIEW {}", quoted(&name))];
    if extra.is_some() {
        undo.push(renamed(&base, &name));
    }
    let (mut remove, mut restore) = (undo.clone(), Vec::new());
    match extra {
        Some((from, to)) => {
            remove.push(column_renamed(&name, from, to));
            restore.push(column_renamed(&name, to, from));
        }
        None => {
            remove.push(renamed(&base, &name));
            restore.push(renamed(&name, &base));
        }
    }
    restore.extend(ddl.iter().cloned());
    let drift = match extra {
        Some((from, to)) => drift(&name, from, to, " LIMIT 1000"),
        None => format!("SELECT count(*) FROM {} WHERE false", quoted(&name)),
    };
    Ok(Shim {
        form: Form::View,
        ddl,
        undo,
        remove,
        restore,
        drift,
        beside: None,
        limits: limits(rename, &name, &base, table),
    })
}

fn renamed(from: &str, to: &str) -> String {
    format!("ALTER TABLE {} RENAME TO {}", quoted(from), quoted_ident(bare(to)))
}

fn column_renamed(table: &str, from: &str, to: &str) -> String {
    format!("ALTER TABLE {} RENAME COLUMN {} TO {}", quoted(table), quoted_ident(from), quoted_ident(to))
}

/// The columns in their order, so that an INSERT without a list of columns finds them; the other name comes last.
fn view(name: &str, base: &str, extra: Option<(&str, &str)>, table: &Table) -> String {
    let mut columns: Vec<_> = table.columns.iter().map(|column| quoted_ident(&column.name)).collect();
    columns.extend(extra.map(|(from, to)| format!("{} AS {}", quoted_ident(from), quoted_ident(to))));
    let with = if table.major >= INVOKER { " WITH (security_invoker = true)" } else { "" };
    format!("CREATE VIEW {}{with} AS SELECT {} FROM {}", quoted(name), columns.join(", "), quoted(base))
}

fn limits(rename: &Rename, name: &str, base: &str, table: &Table) -> Vec<String> {
    let mut limits = vec![format!(
        "{name} is a view: TRUNCATE, COPY from and to it, MERGE before PostgreSQL 17, ALTER TABLE, CREATE INDEX, ON CONFLICT ON CONSTRAINT, \
         ctid and xmin, and GROUP BY the key alone do not work by this name; they do by {base}"
    )];
    match rename {
        Rename::Column { from, to, .. } => {
            limits.push(format!("one statement that writes both {from} and {to} is refused (42601)"));
            limits.push("SELECT * meets one column more".to_owned());
            limits.push(format!(
                "triggers, audit rows, statistics and change capture call the table {base} (TG_TABLE_NAME) meanwhile"
            ));
        }
        Rename::Table { .. } => {}
    }
    if table.major < INVOKER {
        limits.push(format!("it acts with the rights of its owner (before PostgreSQL {INVOKER})"));
    }
    limits.push(
        "functions that take or return the row's type, and pg_get_serial_sequence, know the table's name alone"
            .to_owned(),
    );
    limits.extend(published(table));
    limits
}
