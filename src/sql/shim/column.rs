//! A second column under the wanted name, and a trigger that keeps the two equal whoever writes which.

use super::{
    Beside, Column, Form, Shim, Table, bare, beside, drift, fit, grants, literal, published, quoted, quoted_ident,
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
    let at_once = table.at_once();
    let filling = fit(format!("{to}_filling"));
    refuse(name, column, to, table, &mut refused);
    if !at_once && table.columns.iter().any(|other| other.name == filling) {
        refused.push(format!("{name} has a column {filling} already"));
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    let made = Names::of(name, from, to);
    let granted = |to: &str| {
        let of_column = table.grants.iter().filter(|grant| grant.column.as_deref() == Some(from));
        grants(of_column, name, |_| vec![to.to_owned()])
    };
    let (whole, lost) = indexes(name, from, to, to, table, "");
    let whole = [added(&made, column, to, true), granted(to), whole].concat();
    let restore = [vec![renamed(&made.table, to, from)], whole.clone()].concat();
    let remove = [dropped(&made, to), vec![renamed(&made.table, from, to)]].concat();
    let limits = limits(name, from, to, table, &made, lost);
    if at_once {
        return Ok(Shim {
            form: Form::Column,
            ddl: whole,
            undo: dropped(&made, to),
            remove,
            restore,
            drift: drift(name, from, to, ""),
            beside: None,
            limits,
        });
    }
    // No other session can wait inside the transaction that makes the column; a partitioned table has no such build.
    let concurrently = if table.kind == "p" { "" } else { "CONCURRENTLY " };
    Ok(Shim {
        form: Form::Column,
        ddl: vec![renamed(&made.table, &filling, to), function(&made, column, to, " OR REPLACE")],
        undo: vec![renamed(&made.table, to, &filling), function(&made, column, &filling, " OR REPLACE")],
        remove,
        restore,
        drift: proof(name, from, &made),
        beside: Some(Beside {
            fill: fill(&made, &filling),
            why: format!("{name} has {}: written in one statement, every reader and writer would wait", table.size()),
            ddl: [added(&made, column, &filling, false), granted(&filling)].concat(),
            undo: dropped(&made, &filling),
            indexes: indexes(name, from, &filling, to, table, concurrently).0,
            unprove: vec![let_go(&made), held(&made, &filling, " NOT VALID")],
            there: format!(
                "SELECT count(*) FROM pg_attribute\nWHERE attrelid = to_regclass({}) AND attname IN ({}, {}) AND NOT attisdropped",
                literal(&made.table),
                literal(&filling),
                literal(to),
            ),
            column: filling,
            prove: format!("ALTER TABLE {} VALIDATE CONSTRAINT {}", made.table, made.constraint),
        }),
        limits,
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

/// Everything quoted but the plain names that are said.
struct Names<'a> {
    table: String,
    from: String,
    trigger: String,
    function: String,
    constraint: String,
    plain: (&'a str, &'a str, &'a str),
}

impl<'a> Names<'a> {
    fn of(name: &'a str, from: &'a str, to: &'a str) -> Self {
        Self {
            table: quoted(name),
            from: quoted_ident(from),
            // Triggers fire in the order of their names: a digit comes first, so that the others see both columns.
            trigger: quoted_ident(&fit(format!("0_both_names_{to}"))),
            function: quoted(&beside(name, &fit(format!("both_names_{}_{to}", bare(name))))),
            constraint: quoted_ident(&fit(format!("both_names_{to}"))),
            plain: (name, from, to),
        }
    }
}

fn renamed(table: &str, from: &str, to: &str) -> String {
    format!("ALTER TABLE {table} RENAME COLUMN {} TO {}", quoted_ident(from), quoted_ident(to))
}

/// The column with its values, its function and its trigger; and the constraint, for whatever writes past the trigger.
fn added(made: &Names<'_>, column: &Column, to: &str, at_once: bool) -> Vec<String> {
    let Names { table, from, trigger, function, .. } = made;
    let (type_name, second) = (&column.type_name, quoted_ident(to));
    let collation = column.collation.as_ref().map(|name| format!(" COLLATE {name}")).unwrap_or_default();
    let mut ddl = Vec::new();
    match at_once {
        // Filled by the rewrite itself, which fires no trigger; then a plain column. No reader ever meets it empty.
        true => ddl.extend([
            format!(
                "ALTER TABLE {table} ADD COLUMN {second} {type_name}{collation} GENERATED ALWAYS AS ({from}) STORED"
            ),
            format!("ALTER TABLE {table} ALTER COLUMN {second} DROP EXPRESSION"),
        ]),
        false => ddl.push(format!("ALTER TABLE {table} ADD COLUMN {second} {type_name}{collation}")),
    }
    ddl.extend([
        self::function(made, column, to, ""),
        format!(
            "CREATE TRIGGER {trigger} BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()"
        ),
        // Also for what replication applies.
        format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}"),
        held(made, to, if at_once { "" } else { " NOT VALID" }),
    ]);
    ddl
}

fn held(made: &Names<'_>, to: &str, not_valid: &str) -> String {
    let Names { table, from, constraint, .. } = made;
    format!(
        "ALTER TABLE {table} ADD CONSTRAINT {constraint} CHECK (pg_catalog.record_image_eq(ROW({from}), ROW({}))){not_valid}",
        quoted_ident(to)
    )
}

fn let_go(made: &Names<'_>) -> String {
    format!("ALTER TABLE {} DROP CONSTRAINT {}", made.table, made.constraint)
}

fn dropped(made: &Names<'_>, to: &str) -> Vec<String> {
    let Names { table, trigger, function, .. } = made;
    vec![
        format!("DROP TRIGGER {trigger} ON {table}"),
        format!("DROP FUNCTION {function}()"),
        let_go(made),
        format!("ALTER TABLE {table} DROP COLUMN {}", quoted_ident(to)),
    ]
}

fn function(made: &Names<'_>, column: &Column, to: &str, replace: &str) -> String {
    let (new, old) = (format!("NEW.{}", made.from), format!("NEW.{}", quoted_ident(to)));
    // A default stands where nothing was written.
    let unwritten = match &column.default {
        Some(default) => {
            format!("{new} IS NULL OR NOT {}", differs(&new, &format!("({default})::{}", column.type_name)))
        }
        None => format!("{new} IS NULL"),
    };
    let (name, from, wanted) = made.plain;
    let both = format!(
        "RAISE EXCEPTION '% and % of % are two names of one value and were given two', {}, {}, {} USING ERRCODE = 'integrity_constraint_violation';",
        literal(from),
        literal(wanted),
        literal(name),
    );
    let changed = |new: &str| differs(new, &new.replacen("NEW.", "OLD.", 1));
    let (new_changed, old_changed, differ) = (changed(&new), changed(&old), differs(&new, &old));
    format!(
        "CREATE{replace} FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS $both$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF {old} IS NULL THEN
      {old} := {new};
    ELSIF {unwritten} THEN
      {new} := {old};
    ELSIF {differ} THEN
      {both}
    END IF;
  ELSIF {old_changed} THEN
    IF {new_changed} AND {differ} THEN
      {both}
    END IF;
    {new} := {old};
  ELSE
    {old} := {new};
  END IF;
  RETURN NEW;
END
$both$",
        made.function
    )
}

/// By their bytes: some types take for equal what is not, and what a value reads like is a setting of the session.
fn differs(one: &str, other: &str) -> String {
    format!("pg_catalog.record_image_ne(ROW({one}), ROW({other}))")
}

/// Some pages at a time, each its own transaction. A row that somebody holds is left for the next time: it waits for
/// nobody, so nobody is chosen for a deadlock.
fn fill(made: &Names<'_>, filling: &str) -> String {
    let (to, from) = (quoted_ident(filling).replace('%', "%%"), made.from.replace('%', "%%"));
    let (table, differ) = (literal(&made.table), differs(&from, &to));
    format!(
        "DO $fill$ DECLARE part regclass; page bigint; pages bigint; n bigint; filled bigint := 0; BEGIN \
         FOR part IN SELECT relid FROM pg_partition_tree({table}) WHERE isleaf UNION SELECT {table}::regclass LOOP \
         page := 0; pages := pg_relation_size(part) / current_setting('block_size')::bigint; \
         WHILE page < pages LOOP \
         EXECUTE format($batch$WITH b AS (SELECT ctid AS at FROM ONLY %1$s WHERE ctid >= '(%2$s,0)' AND ctid < '(%3$s,0)' AND {differ} \
         FOR NO KEY UPDATE SKIP LOCKED) UPDATE ONLY %1$s AS o SET {to} = {from} FROM b WHERE o.ctid = b.at$batch$, part, page, page + 64); \
         GET DIAGNOSTICS n = ROW_COUNT; filled := filled + n; COMMIT; page := page + 64; \
         END LOOP; END LOOP; RAISE NOTICE '% rows filled', filled; END $fill$;"
    )
}

/// Nothing while the server itself holds the two together, or the column is there under one name only.
fn proof(name: &str, from: &str, made: &Names<'_>) -> String {
    let unquoted = |name: &str| name.trim_matches('"').replace("\"\"", "\"");
    format!(
        "SELECT count(*) FROM pg_attribute AS a\nWHERE a.attrelid = to_regclass({}) AND a.attname = {} AND NOT a.attisdropped AND NOT EXISTS (\n  SELECT FROM pg_constraint AS k WHERE k.conrelid = a.attrelid AND k.conname = {} AND k.convalidated)",
        literal(&quoted(name)),
        literal(from),
        literal(&unquoted(&made.constraint)),
    )
}

/// Statements, and the indexes that have no counterpart. They are named after the wanted name, on the `column` that is
/// there when they are built.
fn indexes(
    name: &str,
    from: &str,
    column: &str,
    to: &str,
    table: &Table,
    concurrently: &str,
) -> (Vec<String>, Vec<String>) {
    let (mut made, mut lost) = (Vec::new(), Vec::new());
    for index in &table.indexes {
        if !index.plain {
            lost.push(index.name.clone());
            continue;
        }
        let unique = if index.unique { "UNIQUE " } else { "" };
        let columns: Vec<_> =
            index.columns.iter().map(|one| quoted_ident(if one == from { column } else { one })).collect();
        made.push(format!(
            "CREATE {unique}INDEX {concurrently}{} ON {} USING {} ({})",
            quoted_ident(&fit(format!("{}_{to}", index.name))),
            quoted(name),
            index.method,
            columns.join(", ")
        ));
    }
    (made, lost)
}

fn limits(name: &str, from: &str, to: &str, table: &Table, made: &Names<'_>, lost: Vec<String>) -> Vec<String> {
    let mut limits = vec![match table.at_once() {
        true => format!("writes {name} anew once, under a lock that stops its readers: {}", table.size()),
        false => format!(
            "{to} is there only once every row is filled, so that nobody reads a row without its value; until then the \
             old code waits, and each filled row fires the table's triggers"
        ),
    }];
    if !table.at_once() && table.kind == "p" && table.indexes.iter().any(|index| index.plain) {
        limits.push(format!("{name} is partitioned: its writers wait while a second index is built"));
    }
    limits.push(format!("an INSERT or UPDATE that gives {from} and {to} two values is refused (23000)"));
    limits.push("SELECT *, and COPY without a list of columns, meet one column more".to_owned());
    limits.push(format!(
        "two writers of one new value, ON CONFLICT ({from}) here and ({to}) there, can meet 23505 and must try again"
    ));
    limits.push(format!(
        "what writes past its trigger (DISABLE TRIGGER ALL, a trigger that changes the row later) is refused (23514, {}) \
         where the two would part",
        made.constraint
    ));
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
