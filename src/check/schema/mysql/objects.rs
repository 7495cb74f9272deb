//! Every object of the open database of MySQL or MariaDB, with its definition, as `information_schema` has it.

use crate::check::schema::touched::Objects;
use crate::check::sql::{Asked, NoAnswer};
use crate::runbook::template::as_text;
use crate::sql::Server;
use crate::target::db::Handle;

/// What a statement can change and no reading shows.
pub const UNSEEN: &str = "rows, where AUTO_INCREMENT stands, grants and accounts, the database's own defaults, other \
     databases, and what this role may not see";

/// The definitions of everything in the open database, with the order of columns.
///
/// # Errors
/// The server's words.
pub async fn all(handle: &mut Handle) -> Asked<Objects> {
    let Handle::Mysql(connection) = &*handle else {
        return Err(NoAnswer::Unknown("this target is not MySQL or MariaDB".to_owned()));
    };
    let (index, checks) = match connection.server {
        Server::MariaDb(n) if n >= 100_600 => ("if(max(s.ignored) = 'YES', ' ignored', '')", MARIADB_CHECKS),
        Server::MariaDb(_) => ("''", MARIADB_CHECKS),
        _ => ("if(max(s.is_visible) = 'NO', ' invisible', '')", MYSQL_CHECKS),
    };
    let part = match connection.server {
        Server::MariaDb(_) => "s.column_name",
        _ => "coalesce(s.column_name, concat('(', s.expression, ')'))",
    };
    // A list that the server cuts short would hide what stands behind the cut.
    handle.run("set session group_concat_max_len = 1048576", vec![]).await?;
    let sql = CATALOG.replace("{hidden}", index).replace("{checks}", checks).replace("{part}", part);
    let rows = handle.read(sql, vec![]).await?;
    let text = |value: Option<&serde_json::Value>| value.map(as_text).unwrap_or_default();
    Ok(rows.iter().map(|row| (text(row.get("object")), text(row.get("def")))).collect())
}

const MARIADB_CHECKS: &str = "select concat('constraint ', k.table_name, '.', k.constraint_name) as object,
    concat(lower(k.level), ' check ', k.check_clause) as def
  from information_schema.check_constraints k where k.constraint_schema = database()";

const MYSQL_CHECKS: &str = "select concat('constraint ', t.table_name, '.', k.constraint_name) as object,
    concat('check ', k.check_clause, if(t.enforced = 'NO', ' not enforced', '')) as def
  from information_schema.check_constraints k join information_schema.table_constraints t
    on t.constraint_schema = k.constraint_schema and t.constraint_name = k.constraint_name
  where k.constraint_schema = database()";

const CATALOG: &str = "select object, def from (
  select concat(if(t.table_type = 'SEQUENCE', 'sequence ', 'table '), t.table_name) as object,
    concat_ws(' ', t.engine, t.row_format, t.table_collation, nullif(t.create_options, ''),
      nullif(concat('comment ', quote(t.table_comment)), 'comment ''''')) as def
  from information_schema.tables t where t.table_schema = database() and t.table_type <> 'VIEW'
    and t.table_name not like 'backout\\_%'
  union all
  select concat('column ', c.table_name, '.', c.column_name), concat_ws(' ', c.column_type,
    concat('collate ', c.collation_name), if(c.is_nullable = 'NO', 'not null', null),
    concat('default ', c.column_default), nullif(c.extra, ''),
    concat('as ', nullif(c.generation_expression, '')), nullif(concat('comment ', quote(c.column_comment)), 'comment '''''))
  from information_schema.columns c where c.table_schema = database() and c.table_name not like 'backout\\_%'
  union all
  select concat('order ', c.table_name), group_concat(c.column_name order by c.ordinal_position separator ', ')
  from information_schema.columns c where c.table_schema = database() and c.table_name not like 'backout\\_%'
  group by c.table_name
  union all
  select concat('index ', s.table_name, '.', s.index_name), concat(if(s.non_unique, '', 'unique '), lower(s.index_type), ' (',
    group_concat(concat({part}, coalesce(concat('(', s.sub_part, ')'), ''), if(s.collation = 'D', ' desc', ''))
      order by s.seq_in_index separator ', '), ')', {hidden},
    coalesce(nullif(concat(' comment ', quote(max(s.index_comment))), ' comment '''''), ''))
  from information_schema.statistics s where s.table_schema = database() and s.table_name not like 'backout\\_%'
  group by s.table_name, s.index_name, s.non_unique, s.index_type
  union all
  select concat('constraint ', r.table_name, '.', r.constraint_name), concat('foreign key (',
    group_concat(k.column_name order by k.ordinal_position separator ', '), ') references ', max(k.referenced_table_schema), '.',
    r.referenced_table_name, '(', group_concat(k.referenced_column_name order by k.ordinal_position separator ', '), ') on update ',
    lower(r.update_rule), ' on delete ', lower(r.delete_rule))
  from information_schema.referential_constraints r join information_schema.key_column_usage k
    on k.constraint_schema = r.constraint_schema and k.constraint_name = r.constraint_name and k.table_name = r.table_name
  where r.constraint_schema = database()
  group by r.table_name, r.constraint_name, r.referenced_table_name, r.update_rule, r.delete_rule
  union all
  {checks}
  union all
  select concat('partition ', p.table_name, '.', p.partition_name, coalesce(concat('.', p.subpartition_name), '')), concat_ws(' ',
    lower(p.partition_method), p.partition_expression, concat('below or in ', p.partition_description),
    lower(p.subpartition_method), p.subpartition_expression, nullif(concat('comment ', quote(p.partition_comment)), 'comment '''''))
  from information_schema.partitions p where p.table_schema = database() and p.partition_name is not null
  union all
  select concat('trigger ', t.event_object_table, '.', t.trigger_name), concat_ws(' ', lower(t.action_timing),
    lower(t.event_manipulation), 'as number', t.action_order, 'by', t.definer, concat('under ', nullif(t.sql_mode, '')), t.action_statement)
  from information_schema.triggers t where t.trigger_schema = database()
  union all
  select concat('view ', v.table_name), concat_ws(' ', 'by', v.definer, lower(v.security_type),
    concat('check ', nullif(lower(v.check_option), 'none')), v.view_definition)
  from information_schema.views v where v.table_schema = database()
  union all
  select concat(lower(r.routine_type), ' ', r.routine_name), concat_ws(' ', concat('(', (select group_concat(concat_ws(' ',
      p.parameter_mode, p.parameter_name, p.dtd_identifier) order by p.ordinal_position separator ', ')
      from information_schema.parameters p where p.specific_schema = r.routine_schema and p.specific_name = r.specific_name
        and p.routine_type = r.routine_type and p.ordinal_position > 0), ')'),
    concat('returns ', r.dtd_identifier), 'by', r.definer, lower(r.security_type), lower(r.sql_data_access),
    if(r.is_deterministic = 'YES', 'deterministic', null), concat('under ', nullif(r.sql_mode, '')),
    nullif(concat('comment ', quote(r.routine_comment)), 'comment '''''),
    coalesce(concat('body ', sha2(r.routine_definition, 256)), 'body not shown to this role'))
  from information_schema.routines r where r.routine_schema = database()
  union all
  select concat('event ', e.event_name), concat_ws(' ', lower(e.event_type), e.execute_at, 'every', e.interval_value, e.interval_field,
    'from', e.starts, 'to', e.ends, e.time_zone, lower(e.status), lower(e.on_completion), 'by', e.definer,
    concat('under ', nullif(e.sql_mode, '')), e.event_definition)
  from information_schema.events e where e.event_schema = database()
) catalog order by object";
