//! A second column under the wanted name, and a trigger that keeps the two equal whoever writes which.

use super::{
    Column, FILLED_AT_ONCE, Form, Shim, Table, bare, beside, drift, fit, grants, published, quoted, quoted_ident,
};

pub(super) fn make(
    name: &str,
    from: &str,
    to: &str,
    table: &Table,
    mut refused: Vec<String>,
) -> Result<Shim, Vec<String>> {
    let Some(column) = table.columns.iter().find(|column| column.name == from) else {
        refused.push(format!("{name} has no column {from}"));
        return Err(refused);
    };
    refuse(name, column, to, table, &mut refused);
    if !refused.is_empty() {
        return Err(refused);
    }
    let made = Names::of(name, to);
    let at_once = table.rows <= FILLED_AT_ONCE;
    let mut ddl = created(&made, column, at_once);
    let (indexes, lost) = indexes(name, from, to, table, at_once);
    ddl.extend(grants(table.grants.iter().filter(|grant| grant.column.as_deref() == Some(from)), name, |_| {
        vec![to.to_owned()]
    }));
    let (mut after, mut restore) = (Vec::new(), vec![renamed(&made.table, to, from)]);
    restore.extend(created(&made, column, true));
    restore.extend(ddl.iter().filter(|sql| sql.starts_with("GRANT")).cloned());
    match at_once {
        true => {
            restore.extend(indexes.iter().cloned());
            ddl.extend(indexes);
        }
        false => after = indexes,
    }
    let undo = vec![
        format!("DROP TRIGGER {} ON {}", made.trigger, made.table),
        format!("DROP FUNCTION {}()", made.function),
        format!("ALTER TABLE {} DROP COLUMN {}", made.table, made.to),
    ];
    let mut remove = undo.clone();
    remove.push(renamed(&made.table, from, to));
    let differs = differs(&made.to, &quoted_ident(from), "");
    let batches = (!at_once).then(|| {
        let batch = format!(
            "UPDATE {t} SET {to} = {from} WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM {t} WHERE {differs} LIMIT 1000)",
            t = made.table,
            to = made.to,
            from = quoted_ident(from),
        );
        let why = format!(
            "{name} has more than {FILLED_AT_ONCE} rows: in one statement every reader or writer of them would wait, and the \
             rows as they were would be saved once more"
        );
        (batch, why)
    });
    Ok(Shim {
        form: Form::Column,
        ddl,
        undo,
        remove,
        restore,
        drift: drift(name, from, to, ""),
        batches,
        indexes: after,
        limits: limits(name, from, to, table, &made, at_once, lost),
    })
}

/// What would lose a write without a word, or cannot be built.
fn refuse(name: &str, column: &Column, to: &str, table: &Table, refused: &mut Vec<String>) {
    let from = column.name.as_str();
    if table.columns.iter().any(|other| other.name == to) {
        refused.push(format!("{name} has a column {to} already"));
    }
    if column.generated || column.identity {
        refused.push(format!("{from} is computed by the server: two columns cannot both be"));
    }
    if table.child || table.parent {
        refused.push(format!(
            "{name} inherits, is inherited from or is a partition: the trigger would not fire for every row"
        ));
    }
    if table.partition_key.iter().any(|key| key == from) {
        refused.push(format!("{from} says in which partition a row stands: a trigger may not move it"));
    }
    if table.rules {
        refused.push(format!("{name} has rules, which rewrite what is written"));
    }
    match column.default.as_deref() {
        Some(default) if !is_constant(default) => refused.push(format!(
            "the default of {from} ({default}) is new for each row: it could not be told from a value that somebody wrote"
        )),
        Some(_) if !column.not_null => refused.push(format!(
            "{from} has a default and takes NULL: a NULL that the old code writes could not be told from a value left out"
        )),
        _ => {}
    }
    for trigger in &table.triggers {
        let words = match (trigger.before, trigger.names_it, trigger.of_column) {
            (_, _, true) => "fires for updates of this column alone, and would not for one by the other name",
            (true, Some(true), _) => "sets or reads the column before it is written, and knows one name only",
            (true, None, _) => "cannot be read: it may set the column before it is written",
            _ => continue,
        };
        refused.push(format!("trigger {} {words}", trigger.name));
    }
}

/// A literal, with one cast or none.
fn is_constant(default: &str) -> bool {
    let (bare, cast) = default.split_once("::").unwrap_or((default, ""));
    if !cast.chars().all(|c| c.is_alphanumeric() || " _.\"()[],".contains(c)) {
        return false;
    }
    let inner = bare.strip_prefix('\'').and_then(|bare| bare.strip_suffix('\''));
    let quoted = inner.is_some_and(|inner| !inner.replace("''", "").contains('\''));
    let digits = bare.trim_start_matches(['(', '-']).trim_end_matches(')');
    let number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    quoted || number || matches!(bare, "true" | "false")
}

struct Names {
    table: String,
    to: String,
    trigger: String,
    function: String,
    table_name: String,
}

impl Names {
    fn of(name: &str, to: &str) -> Self {
        Self {
            table: quoted(name),
            to: quoted_ident(to),
            // Triggers fire in the order of their names: a digit comes first, so that the others see both columns.
            trigger: quoted_ident(&fit(format!("0_both_names_{to}"))),
            function: quoted(&beside(name, &fit(format!("both_names_{}_{to}", bare(name))))),
            table_name: name.to_owned(),
        }
    }
}

fn renamed(table: &str, from: &str, to: &str) -> String {
    format!("ALTER TABLE {table} RENAME COLUMN {} TO {}", quoted_ident(from), quoted_ident(to))
}

/// The column with its values, its function and its trigger.
fn created(made: &Names, column: &Column, at_once: bool) -> Vec<String> {
    let Names { table, to, trigger, function, .. } = made;
    let (from, type_name) = (quoted_ident(&column.name), &column.type_name);
    let collation = column.collation.as_ref().map(|name| format!(" COLLATE {name}")).unwrap_or_default();
    let mut ddl = Vec::new();
    match at_once {
        // Filled by the rewrite itself, which fires no trigger; then a plain column. No reader ever meets it empty.
        true => ddl.extend([
            format!("ALTER TABLE {table} ADD COLUMN {to} {type_name}{collation} GENERATED ALWAYS AS ({from}) STORED"),
            format!("ALTER TABLE {table} ALTER COLUMN {to} DROP EXPRESSION"),
        ]),
        false => ddl.push(format!("ALTER TABLE {table} ADD COLUMN {to} {type_name}{collation}")),
    }
    ddl.extend([
        format!(
            "CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $both$\n{}$both$",
            body(made, column)
        ),
        format!(
            "CREATE TRIGGER {trigger} BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()"
        ),
        // Also for what replication applies.
        format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}"),
    ]);
    ddl
}

fn body(made: &Names, column: &Column) -> String {
    let (new, old) = (quoted_ident(&column.name), &made.to);
    // A default stands where nothing was written.
    let unwritten = match &column.default {
        Some(default) => {
            format!("NEW.{new} IS NULL OR NOT {}", text_differs(&format!("NEW.{new}"), &format!("({default})")))
        }
        None => format!("NEW.{new} IS NULL"),
    };
    let both = format!(
        "RAISE EXCEPTION '% and % of % are two names of one value and were given two', '{}', '{}', '{}' USING ERRCODE = 'integrity_constraint_violation';",
        column.name.replace('\'', "''"),
        made.to.trim_matches('"').replace('\'', "''"),
        made.table_name.replace('\'', "''"),
    );
    let (new_changed, old_changed) = (
        text_differs(&format!("NEW.{new}"), &format!("OLD.{new}")),
        text_differs(&format!("NEW.{old}"), &format!("OLD.{old}")),
    );
    let differ = differs(&new, old, "NEW.");
    format!(
        "BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.{old} IS NULL THEN
      NEW.{old} := NEW.{new};
    ELSIF {unwritten} THEN
      NEW.{new} := NEW.{old};
    ELSIF {differ} THEN
      {both}
    END IF;
  ELSIF {old_changed} THEN
    IF {new_changed} AND {differ} THEN
      {both}
    END IF;
    NEW.{new} := NEW.{old};
  ELSE
    NEW.{old} := NEW.{new};
  END IF;
  RETURN NEW;
END
"
    )
}

fn differs(one: &str, other: &str, row: &str) -> String {
    text_differs(&format!("{row}{one}"), &format!("{row}{other}"))
}

/// As text: some types take for equal what does not read the same.
fn text_differs(one: &str, other: &str) -> String {
    format!("({one}::text COLLATE \"C\" IS DISTINCT FROM {other}::text COLLATE \"C\")")
}

/// Statements, and the indexes that have no counterpart.
fn indexes(name: &str, from: &str, to: &str, table: &Table, at_once: bool) -> (Vec<String>, Vec<String>) {
    let (mut made, mut lost) = (Vec::new(), Vec::new());
    for index in &table.indexes {
        if !index.plain {
            lost.push(index.name.clone());
            continue;
        }
        let unique = if index.unique { "UNIQUE " } else { "" };
        // No other session can wait inside the transaction that made the column.
        let beside_writers = if at_once || table.kind == "p" { "" } else { "CONCURRENTLY " };
        let columns: Vec<_> =
            index.columns.iter().map(|column| quoted_ident(if column == from { to } else { column })).collect();
        made.push(format!(
            "CREATE {unique}INDEX {beside_writers}{} ON {} USING {} ({})",
            quoted_ident(&fit(format!("{}_{to}", index.name))),
            quoted(name),
            index.method,
            columns.join(", ")
        ));
    }
    (made, lost)
}

fn limits(
    name: &str,
    from: &str,
    to: &str,
    table: &Table,
    made: &Names,
    at_once: bool,
    lost: Vec<String>,
) -> Vec<String> {
    let mut limits = vec![match at_once {
        true => format!("writes {name} anew once, under a lock that stops its readers: {} rows", table.rows),
        false => {
            format!("until every batch is done, old rows read as NULL by {to}; each batch fires the table's triggers")
        }
    }];
    limits.push(format!("an INSERT or UPDATE that gives {from} and {to} two values is refused (23000)"));
    limits.push("SELECT *, and COPY without a list of columns, meet one column more".to_owned());
    limits.push(format!(
        "two writers of one new value, ON CONFLICT ({from}) here and ({to}) there, can meet 23505 and must try again"
    ));
    limits.push("ALTER TABLE … DISABLE TRIGGER ALL, as a restore does it, lets the two columns part".to_owned());
    if !lost.is_empty() {
        limits.push(format!(
            "no second index for {}: ON CONFLICT ({to}) and searches by {to} do without",
            lost.join(", ")
        ));
    }
    let trigger = made.trigger.trim_matches('"');
    let earlier: Vec<_> =
        table.triggers.iter().filter(|t| t.before && t.name.as_str() < trigger).map(|t| t.name.as_str()).collect();
    if !earlier.is_empty() {
        limits.push(format!("trigger {} fires before it and sees the row with one name only", earlier.join(", ")));
    }
    limits.extend(published(table));
    limits
}
