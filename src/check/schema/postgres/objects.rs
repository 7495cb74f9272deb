//! Every object of a PostgreSQL catalog that a reading of it knows, with its definition.
//!
//! Owns what a reading sees, one statement for all: the whole catalog and the few objects that a step touches are read
//! by the same words, so that what is exact in one is exact in the other. What it does not see is [`UNSEEN`].

use crate::check::schema::touched::{Objects, Scope, bare, each};
use crate::check::sql::Asked;
use crate::runbook::template::as_text;
use crate::target::db::{Handle, Row, text_bind};

/// What a statement can change and no reading shows.
pub const UNSEEN: &str = "rows, where sequences stand, who granted a right, statistics targets of index expressions, \
     text search, conversions, transforms, large objects, passwords of user mappings, publications of whole schemas, \
     and what belongs to the whole server (roles, tablespaces, its settings)";

/// Object ids by catalog, each an array as PostgreSQL writes it.
#[derive(Debug, Default, Clone)]
pub struct Ids {
    /// What has columns, and sequences; with all that stands on it.
    pub relations: String,
    pub types: String,
    pub functions: String,
    /// Of other relations.
    pub constraints: String,
    pub triggers: String,
}

impl Ids {
    pub fn of(row: &Row) -> Self {
        let text = |name: &str| row.get(name).map_or_else(|| "{}".to_owned(), as_text);
        Self {
            relations: text("relations"),
            types: text("types"),
            functions: text("functions"),
            constraints: text("constraints"),
            triggers: text("triggers"),
        }
    }
}

/// The definitions of these.
///
/// # Errors
/// The server's words.
pub async fn read(ids: &Ids, handle: &mut Handle) -> Asked<Objects> {
    let ids = [&ids.relations, &ids.types, &ids.functions, &ids.constraints, &ids.triggers];
    let binds = ids.iter().map(|ids| text_bind(ids.as_str())).collect();
    Ok(objects(&handle.read(format!("{SCOPE} {PARTS}"), binds).await?))
}

/// The definitions of everything in the database that is the operator's.
///
/// # Errors
/// The server's words.
pub async fn all(handle: &mut Handle) -> Asked<Objects> {
    let ids = every(handle).await?;
    let mut all = read(&ids, handle).await?;
    all.extend(rest(handle).await?);
    Ok(all)
}

/// Everything in the database that is the operator's.
///
/// # Errors
/// The server's words.
pub async fn every(handle: &mut Handle) -> Asked<Ids> {
    let row = handle.read(format!("with {SPACES} {ALL}"), vec![]).await?.into_iter().next().unwrap_or_default();
    Ok(Ids::of(&row))
}

/// What belongs to no relation, type or function.
///
/// # Errors
/// The server's words.
pub async fn rest(handle: &mut Handle) -> Asked<Objects> {
    Ok(objects(&handle.read(format!("with {SPACES} {REST}"), vec![]).await?))
}

/// What hangs on these names, by the server's own book of dependencies: all that a statement on them can reach, as
/// `CASCADE` would. Asked by itself: joined to a recursion, whose size no planner can guess, the whole catalog would be
/// read, and that under a lock.
///
/// # Errors
/// The server's words.
pub async fn reached(scope: &Scope, handle: &mut Handle) -> Asked<Ids> {
    let functions: Vec<String> = scope.functions.iter().map(|name| bare(name)).collect();
    let functions = serde_json::json!(functions).to_string();
    let lists = [each(&scope.relations), each(&scope.types), functions];
    let binds = lists.into_iter().map(text_bind).collect();
    let row = handle.read(REACHED, binds).await?.into_iter().next().unwrap_or_default();
    Ok(Ids::of(&row))
}

/// Which one each is, where another of the same name would not hold the same rows; and the order of columns.
///
/// # Errors
/// The server's words.
pub async fn selves(ids: &Ids, handle: &mut Handle) -> Asked<Objects> {
    Ok(objects(&handle.read(SELVES, vec![text_bind(ids.relations.as_str())]).await?))
}

fn objects(rows: &[Row]) -> Objects {
    let text = |row: &Row, name: &str| row.get(name).map(as_text).unwrap_or_default();
    rows.iter().map(|row| (text(row, "object"), text(row, "def"))).collect()
}

const SPACES: &str = "spaces as (
  select oid from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'backout')
), members as (select classid, objid from pg_depend where deptype = 'e')";

const ALL: &str = "select
  (select coalesce(array_agg(c.oid), '{}')::text from pg_class c join spaces n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')) as relations,
  (select coalesce(array_agg(t.oid), '{}')::text from pg_type t join spaces n on n.oid = t.typnamespace
     where t.typtype in ('e', 'd', 'r')) as types,
  (select coalesce(array_agg(p.oid), '{}')::text from pg_proc p join spaces n on n.oid = p.pronamespace
     where not exists (select 1 from members m where m.classid = 'pg_proc'::regclass and m.objid = p.oid)) as functions,
  '{}' as constraints, '{}' as triggers";

const SCOPE: &str = "with rel as materialized (
  select c.*, c.oid::regclass::text as name from pg_class c
  where c.oid = any($1::text::oid[]) and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')
), typ as materialized (
  select t.*, t.oid::regtype::text as name from pg_type t
  where t.oid = any($2::text::oid[]) and t.typtype in ('e', 'd', 'r')
), fun as materialized (
  select p.*, p.oid::regprocedure::text as name from pg_proc p where p.oid = any($3::text::oid[])
), ind as materialized (
  select i.*, c.relname, c.reltablespace, t.name as of from rel t join pg_index i on i.indrelid = t.oid
  join pg_class c on c.oid = i.indexrelid
), con as materialized (
  select c.*, coalesce(nullif(c.conrelid, 0)::regclass::text, c.contypid::regtype::text) as of from (
    select c.* from rel t join pg_constraint c on c.conrelid = t.oid
    union select c.* from typ t join pg_constraint c on c.contypid = t.oid
    union select c.* from pg_constraint c where c.oid = any($4::text::oid[])) c
), trg as materialized (
  select g.*, g.tgrelid::regclass::text as of from (
    select g.oid from rel t join pg_trigger g on g.tgrelid = t.oid
    union select unnest($5::text::oid[])) these join pg_trigger g using (oid) where not g.tgisinternal
)";

/// One query for each kind of object.
const PARTS: &str = "select object, def from (
  select case t.relkind when 'v' then 'view' when 'm' then 'view' when 'S' then 'sequence' when 'c' then 'type' else 'table' end
    || ' ' || t.name as object, concat_ws(', ',
    case t.relkind when 'v' then pg_get_viewdef(t.oid) when 'p' then 'partitioned by ' || pg_get_partkeydef(t.oid)
      when 'm' then 'materialized' || case when t.relispopulated then '' else ' and not filled' end || ': ' || pg_get_viewdef(t.oid)
      when 'f' then (select 'foreign on ' || s.srvname || coalesce(' ' || f.ftoptions::text, '')
        from pg_foreign_table f join pg_foreign_server s on s.oid = f.ftserver where f.ftrelid = t.oid)
      when 'S' then (select concat_ws(' ', format_type(s.seqtypid, null), 'start', s.seqstart, 'by', s.seqincrement, 'from', s.seqmin,
        'to', s.seqmax, 'cache', s.seqcache, case when s.seqcycle then 'cycle' end) from pg_sequence s where s.seqrelid = t.oid)
        || coalesce((select ', owned by ' || d.refobjid::regclass || '.' || a.attname from pg_depend d
          join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
          where d.classid = 'pg_class'::regclass and d.objid = t.oid and d.deptype in ('a', 'i')
            and d.refclassid = 'pg_class'::regclass), '')
      when 'c' then 'composite' else 'table' end,
    'partition ' || pg_get_expr(t.relpartbound, t.oid),
    case when t.relkind in ('r', 'p', 'f') then (select 'of ' || string_agg(h.inhparent::regclass::text, ', ' order by h.inhseqno)
      || case when bool_or(coalesce((to_jsonb(h)->>'inhdetachpending')::bool, false)) then ' (being detached)' else '' end
      from pg_inherits h where h.inhrelid = t.oid) end,
    'of type ' || nullif(t.reloftype, 0)::regtype,
    case t.relpersistence when 'u' then 'unlogged' when 't' then 'temporary' end,
    case when t.relrowsecurity then 'row security' end, case when t.relforcerowsecurity then 'forced row security' end,
    'settings ' || (select string_agg(o, ' ' order by o) from unnest(t.reloptions) o),
    'toast settings ' || (select string_agg(o, ' ' order by o) from pg_class x cross join unnest(x.reloptions) o
      where x.oid = nullif(t.reltoastrelid, 0)),
    'tablespace ' || (select spcname from pg_tablespace where oid = nullif(t.reltablespace, 0)),
    'access method ' || (select nullif(amname, 'heap') from pg_am where oid = nullif(t.relam, 0)),
    case when t.relkind in ('r', 'p', 'm') then case t.relreplident when 'n' then 'replica identity nothing'
      when 'f' then 'replica identity full' when 'i' then 'replica identity by an index' end end) as def
  from rel t
  union all
  select 'column ' || t.name || '.' || a.attname, format_type(a.atttypid, a.atttypmod)
    || coalesce(case when a.attcollation <> y.typcollation then ' collate ' || a.attcollation::regcollation end, '')
    || case when a.attnotnull then ' not null' else '' end
    || case a.attidentity when 'a' then ' identity always' when 'd' then ' identity by default' else '' end
    || coalesce(case a.attgenerated when '' then ' default ' when 's' then ' generated ' else ' generated virtual ' end
      || pg_get_expr(d.adbin, d.adrelid), '')
    || case when a.attinhcount > 0 then case when a.attislocal then ' inherited and its own' else ' inherited' end else '' end
    || case when a.attstorage <> y.typstorage then ' storage ' || case a.attstorage when 'p' then 'plain' when 'e' then 'external'
      when 'm' then 'main' else 'extended' end else '' end
    || case when a.attlen = -1 then coalesce(' compression ' || nullif(to_jsonb(a)->>'attcompression', ''), '') else '' end
    || case when coalesce(a.attstattarget, -1) <> -1 then ' statistics ' || a.attstattarget else '' end
    || coalesce(' settings ' || a.attoptions::text, '') || coalesce(' options ' || a.attfdwoptions::text, '')
  from rel t join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped and t.relkind <> 'S'
  join pg_type y on y.oid = a.atttypid
  left join pg_attrdef d on d.adrelid = t.oid and d.adnum = a.attnum
  union all
  select 'index ' || i.of || '.' || i.relname, pg_get_indexdef(i.indexrelid)
    || coalesce((select ' tablespace ' || spcname from pg_tablespace where oid = nullif(i.reltablespace, 0)), '')
    || coalesce((select ' of ' || string_agg(h.inhparent::regclass::text, ', ') from pg_inherits h where h.inhrelid = i.indexrelid), '')
    || case when i.indisclustered then ' (the table is clustered by it)' else '' end
    || case when i.indisreplident then ' (replica identity)' else '' end
    || case when i.indisready then '' else ' (not kept up)' end || case when i.indisvalid then '' else ' (not valid)' end
  from ind i
  union all
  select 'constraint ' || c.of || '.' || c.conname, pg_get_constraintdef(c.oid)
    || case when exists (select 1 from pg_trigger g where g.tgconstraint = c.oid and g.tgisinternal and g.tgenabled <> 'O')
      then ' (disabled)' else '' end
  from con c where c.contype <> 'n' or not c.convalidated
  union all
  select 'trigger ' || g.of || '.' || g.tgname, pg_get_triggerdef(g.oid) || case g.tgenabled when 'O' then ''
    when 'D' then ' (disabled)' when 'R' then ' (on replicas only)' else ' (on replicas too)' end
  from trg g
  union all
  select 'policy ' || t.name || '.' || p.polname, p.polcmd::text || case when p.polpermissive then '' else ' restrictive' end
    || ' to ' || array_to_string(array(select case r when 0 then 'public' else pg_get_userbyid(r) end
         from unnest(p.polroles) r order by 1), ', ')
    || coalesce(' using ' || pg_get_expr(p.polqual, p.polrelid), '')
    || coalesce(' check ' || pg_get_expr(p.polwithcheck, p.polrelid), '')
  from rel t join pg_policy p on p.polrelid = t.oid
  union all
  select 'rule ' || t.name || '.' || r.rulename, pg_get_ruledef(r.oid) || case r.ev_enabled when 'O' then ''
    when 'D' then ' (disabled)' when 'R' then ' (on replicas only)' else ' (on replicas too)' end
  from rel t join pg_rewrite r on r.ev_class = t.oid where r.rulename <> '_RETURN'
  union all
  select 'statistics ' || t.name || '.' || s.stxname, pg_get_statisticsobjdef(s.oid)
    || coalesce(' target ' || nullif(to_jsonb(s)->>'stxstattarget', '-1'), '')
  from rel t join pg_statistic_ext s on s.stxrelid = t.oid
  union all
  select 'publication ' || t.name || '.' || b.pubname, 'in it' || coalesce(', columns ' || (to_jsonb(p)->>'prattrs'), '')
    || coalesce(', rows by ' || md5(to_jsonb(p)->>'prqual'), '')
  from rel t join pg_publication_rel p on p.prrelid = t.oid join pg_publication b on b.oid = p.prpubid
  union all
  select 'enum ' || t.name, (select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_enum where enumtypid = t.oid)
  from typ t where t.typtype = 'e'
  union all
  select 'domain ' || t.name, format_type(t.typbasetype, t.typtypmod) || case when t.typnotnull then ' not null' else '' end
    || coalesce(' default ' || t.typdefault, '')
    || case when t.typcollation not in (0, 100) then ' collate ' || t.typcollation::regcollation else '' end
  from typ t where t.typtype = 'd'
  union all
  select 'range ' || t.name, 'of ' || r.rngsubtype::regtype || coalesce(' collate ' || nullif(r.rngcollation, 0)::regcollation, '')
    || coalesce(' canonical ' || nullif(r.rngcanonical::oid, 0)::regproc, '') || coalesce(' diff ' || nullif(r.rngsubdiff::oid, 0)::regproc, '')
  from typ t join pg_range r on r.rngtypid = t.oid
  union all
  select 'function ' || p.name, l.lanname || ' returns ' || coalesce(pg_get_function_result(p.oid), 'nothing')
    || ', body ' || encode(sha256(convert_to(case when p.prokind <> 'a' then pg_get_functiondef(p.oid) else (
      select concat_ws(' ', 'aggregate', aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn, aggtranstype::regtype,
        aggminitval, agginitval, aggsortop, aggkind, aggmtransfn, aggminvtransfn, aggmfinalfn, aggfinalmodify, p.proparallel)
      from pg_aggregate where aggfnoid = p.oid) end, 'UTF8')), 'hex')
  from fun p join pg_language l on l.oid = p.prolang
  union all
  select 'owner ' || name, pg_get_userbyid(owner) from (
    select name, relowner as owner from rel where relkind <> 'c' union all select name, typowner from typ
    union all select name, proowner from fun) owned
  union all
  select 'grant ' || name || ' to ' || case g.grantee when 0 then 'public' else pg_get_userbyid(g.grantee) end,
    string_agg(g.privilege_type || case when g.is_grantable then ' with grant option' else '' end, ', ' order by g.privilege_type)
  from (
    select name, relacl as acl, relowner as owner, case relkind when 'S' then 's' else 'r' end::\"char\" as kind
      from rel where relacl is not null
    union all select t.name || '.' || a.attname, a.attacl, t.relowner, 'c' from rel t
      join pg_attribute a on a.attrelid = t.oid and not a.attisdropped and a.attacl is not null
    union all select name, coalesce(typacl, acldefault('T', typowner)), typowner, 'T' from typ
    union all select name, coalesce(proacl, acldefault('f', proowner)), proowner, 'f' from fun
  ) held cross join aclexplode(acl) g group by name, owner, kind, g.grantee
  having g.grantee <> owner
    or count(*) <> (select count(*) from aclexplode(acldefault(kind, owner)) own where own.grantee = owner)
  union all
  select 'comment ' || name || coalesce('.' || a.attname, ''), d.description from (
    select 'pg_class'::regclass as catalog, oid, name from rel union all select 'pg_class'::regclass, indexrelid, of || '.' || relname from ind
    union all select 'pg_constraint'::regclass, oid, of || '.' || conname from con
    union all select 'pg_trigger'::regclass, oid, of || '.' || tgname from trg
    union all select 'pg_type'::regclass, oid, name from typ union all select 'pg_proc'::regclass, oid, name from fun
    union all select 'pg_policy'::regclass, p.oid, t.name || '.' || p.polname from rel t join pg_policy p on p.polrelid = t.oid
  ) items join pg_description d on d.classoid = items.catalog and d.objoid = items.oid
  left join pg_attribute a on d.classoid = 'pg_class'::regclass and d.objsubid > 0 and a.attrelid = d.objoid and a.attnum = d.objsubid
  union all
  select 'label ' || name || coalesce('.' || a.attname, '') || ' by ' || s.provider, s.label from (
    select 'pg_class'::regclass as catalog, oid, name from rel union all select 'pg_type'::regclass, oid, name from typ
    union all select 'pg_proc'::regclass, oid, name from fun
  ) items join pg_seclabel s on s.classoid = items.catalog and s.objoid = items.oid
  left join pg_attribute a on s.classoid = 'pg_class'::regclass and s.objsubid > 0 and a.attrelid = s.objoid and a.attnum = s.objsubid
) parts order by object collate \"C\"";

const REST: &str = "select object, def from (
  select 'schema ' || quote_ident(n.nspname) as object, 'owner ' || pg_get_userbyid(n.nspowner) as def
  from pg_namespace n join spaces using (oid)
  union all
  select 'extension ' || quote_ident(e.extname), e.extversion || ' in ' || e.extnamespace::regnamespace from pg_extension e
  union all
  select 'event-trigger ' || quote_ident(e.evtname), concat_ws(' ', 'on', e.evtevent, e.evttags::text, 'runs', e.evtfoid::regprocedure,
    'owner', pg_get_userbyid(e.evtowner)) || case e.evtenabled when 'O' then '' when 'D' then ' (disabled)'
    when 'R' then ' (on replicas only)' else ' (on replicas too)' end from pg_event_trigger e
  union all
  select 'publication ' || quote_ident(p.pubname), concat_ws(', ', case when p.puballtables then 'all tables' else 'some tables' end,
    case when p.pubinsert then 'insert' end, case when p.pubupdate then 'update' end, case when p.pubdelete then 'delete' end,
    case when p.pubtruncate then 'truncate' end, case when p.pubviaroot then 'via root' end, 'owner ' || pg_get_userbyid(p.pubowner))
  from pg_publication p
  union all
  select 'subscription ' || quote_ident(s.subname), concat_ws(', ', case when s.subenabled then 'enabled' else 'disabled' end,
    'to ' || array_to_string(s.subpublications, ' '), 'slot ' || s.subslotname, 'owner ' || pg_get_userbyid(s.subowner))
  from pg_subscription s where s.subdbid = (select oid from pg_database where datname = current_database())
  union all
  select 'cast ' || c.castsource::regtype || ' as ' || c.casttarget::regtype,
    concat_ws(' ', c.castcontext, c.castmethod, nullif(c.castfunc, 0)::regprocedure) from pg_cast c
  where c.oid >= 16384 and not exists (select 1 from members m where m.classid = 'pg_cast'::regclass and m.objid = c.oid)
  union all
  select 'operator ' || o.oid::regoperator, concat_ws(' ', o.oprcode, 'commutator', nullif(o.oprcom, 0)::regoperator,
    'negator', nullif(o.oprnegate, 0)::regoperator, 'restrict', o.oprrest, 'join', o.oprjoin,
    case when o.oprcanhash then 'hashes' end, case when o.oprcanmerge then 'merges' end, 'owner', pg_get_userbyid(o.oprowner))
  from pg_operator o join spaces n on n.oid = o.oprnamespace
  where not exists (select 1 from members m where m.classid = 'pg_operator'::regclass and m.objid = o.oid)
  union all
  select 'opclass ' || quote_ident(o.opcname) || ' by ' || a.amname, 'for ' || o.opcintype::regtype
    || case when o.opcdefault then ' default' else '' end || ', owner ' || pg_get_userbyid(o.opcowner)
  from pg_opclass o join spaces n on n.oid = o.opcnamespace join pg_am a on a.oid = o.opcmethod
  where not exists (select 1 from members m where m.classid = 'pg_opclass'::regclass and m.objid = o.oid)
  union all
  select 'collation ' || o.oid::regcollation, concat_ws(' ', o.collprovider, o.collcollate, o.collctype,
    to_jsonb(o)->>'colliculocale', to_jsonb(o)->>'colllocale', o.collversion,
    case when o.collisdeterministic then '' else 'not deterministic' end, 'owner', pg_get_userbyid(o.collowner))
  from pg_collation o join spaces n on n.oid = o.collnamespace
  union all
  select 'language ' || quote_ident(l.lanname), concat_ws(' ', case when l.lanpltrusted then 'trusted' end,
    nullif(l.lanplcallfoid, 0)::regproc, 'owner', pg_get_userbyid(l.lanowner)) from pg_language l where l.oid >= 16384
  union all
  select 'wrapper ' || quote_ident(w.fdwname), concat_ws(' ', nullif(w.fdwhandler, 0)::regproc, w.fdwoptions::text,
    'owner', pg_get_userbyid(w.fdwowner)) from pg_foreign_data_wrapper w
  union all
  select 'server ' || quote_ident(s.srvname), concat_ws(' ', 'of', (select fdwname from pg_foreign_data_wrapper w where w.oid = s.srvfdw),
    s.srvtype, s.srvversion, s.srvoptions::text, 'owner', pg_get_userbyid(s.srvowner)) from pg_foreign_server s
  union all
  select 'mapping ' || u.srvname || ' for ' || u.usename, 'there' from pg_user_mappings u
  union all
  select 'defaults ' || coalesce(nullif(d.defaclnamespace, 0)::regnamespace || ' ', '') || 'by ' || pg_get_userbyid(d.defaclrole)
    || ' on ' || case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types'
      when 'n' then 'schemas' else d.defaclobjtype::text end || ' to ' || case g.grantee when 0 then 'public' else pg_get_userbyid(g.grantee) end,
    string_agg(g.privilege_type || case when g.is_grantable then ' with grant option' else '' end, ', ' order by g.privilege_type)
  from pg_default_acl d cross join aclexplode(d.defaclacl) g
  group by d.defaclnamespace, d.defaclrole, d.defaclobjtype, g.grantee
  union all
  select 'grant ' || held.name || ' to ' || case g.grantee when 0 then 'public' else pg_get_userbyid(g.grantee) end,
    string_agg(g.privilege_type || case when g.is_grantable then ' with grant option' else '' end, ', ' order by g.privilege_type)
  from (
    select 'schema ' || quote_ident(n.nspname) as name, n.nspacl as acl, n.nspowner as owner, 'n'::\"char\" as kind
      from pg_namespace n join spaces using (oid)
    union all select 'the database', datacl, datdba, 'd' from pg_database where datname = current_database()
    union all select 'language ' || quote_ident(lanname), lanacl, lanowner, 'l' from pg_language
    union all select 'server ' || quote_ident(srvname), srvacl, srvowner, 'S' from pg_foreign_server
    union all select 'wrapper ' || quote_ident(fdwname), fdwacl, fdwowner, 'F' from pg_foreign_data_wrapper
  ) held cross join aclexplode(coalesce(acl, acldefault(kind, owner))) g group by held.name, owner, kind, g.grantee
  having g.grantee <> owner
    or count(*) <> (select count(*) from aclexplode(acldefault(kind, owner)) own where own.grantee = owner)
  union all
  select 'setting of ' || coalesce((select rolname from pg_roles r where r.oid = nullif(s.setrole, 0)), 'everybody') || ' here',
    (select string_agg(c, ', ' order by c) from unnest(s.setconfig) c)
  from pg_db_role_setting s where s.setdatabase = (select oid from pg_database where datname = current_database())
  union all
  select 'comment ' || items.name, d.description from (
    select 'pg_namespace'::regclass as catalog, oid, 'schema ' || quote_ident(nspname) as name from pg_namespace join spaces using (oid)
    union all select 'pg_event_trigger'::regclass, oid, 'event trigger ' || quote_ident(evtname) from pg_event_trigger
    union all select 'pg_publication'::regclass, oid, 'publication ' || quote_ident(pubname) from pg_publication
    union all select 'pg_foreign_server'::regclass, oid, 'server ' || quote_ident(srvname) from pg_foreign_server
  ) items join pg_description d on d.classoid = items.catalog and d.objoid = items.oid
) rest order by object collate \"C\"";

const SELVES: &str = "select 'values ' || c.oid::regclass || coalesce('.' || a.attname, '') as object, c.oid || coalesce('.' || a.attnum, '') as def
  from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and c.relkind <> 'S'
  where c.oid = any($1::text::oid[]) and c.relkind in ('r', 'p', 'f', 'S')
  union all
  select 'order ' || c.oid::regclass, string_agg(quote_ident(a.attname), ', ' order by a.attnum)
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  where c.oid = any($1::text::oid[]) and c.relkind in ('r', 'p', 'f', 'v', 'm') group by c.oid";

const REACHED: &str = "with recursive named as (
    select to_regclass(name)::oid as oid from jsonb_array_elements_text($1::text::jsonb) as n(name)
  ), reached as (
    select 'pg_class'::regclass::oid as class, coalesce(i.indrelid, n.oid) as oid, 0 as part from named n left join pg_index i on i.indexrelid = n.oid
      where n.oid is not null
    union select 'pg_type'::regclass::oid, to_regtype(name)::oid, 0 from jsonb_array_elements_text($2::text::jsonb) as n(name)
      where to_regtype(name) is not null
    union select 'pg_proc'::regclass::oid, p.oid, 0 from pg_proc p
      where p.proname in (select name from jsonb_array_elements_text($3::text::jsonb) as n(name))
        and p.pronamespace in (select oid from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema')
    union
    select more.* from reached r cross join lateral (
      select d.classid, d.objid, d.objsubid from pg_depend d where d.refclassid = r.class and d.refobjid = r.oid
        and (r.part = 0 or d.refobjsubid = r.part)
      union all
      select d.refclassid, d.refobjid, d.refobjsubid from pg_depend d where d.classid = r.class and d.objid = r.oid and d.deptype = 'i') more
  ), held as (
    select r.class, r.oid, case r.class
        when 'pg_class'::regclass then coalesce((select i.indrelid from pg_index i where i.indexrelid = r.oid), r.oid)
        when 'pg_rewrite'::regclass then (select ev_class from pg_rewrite x where x.oid = r.oid)
        when 'pg_attrdef'::regclass then (select adrelid from pg_attrdef x where x.oid = r.oid)
        when 'pg_policy'::regclass then (select polrelid from pg_policy x where x.oid = r.oid)
        when 'pg_statistic_ext'::regclass then (select stxrelid from pg_statistic_ext x where x.oid = r.oid)
        when 'pg_publication_rel'::regclass then (select prrelid from pg_publication_rel x where x.oid = r.oid)
        when 'pg_type'::regclass then (select nullif(typrelid, 0) from pg_type x where x.oid = r.oid) end as relation
    from reached r
  ) select coalesce(array_agg(distinct relation) filter (where relation is not null), '{}')::text as relations,
    coalesce(array_agg(oid) filter (where class = 'pg_type'::regclass), '{}')::text as types,
    coalesce(array_agg(oid) filter (where class = 'pg_proc'::regclass), '{}')::text as functions,
    coalesce(array_agg(oid) filter (where class = 'pg_constraint'::regclass), '{}')::text as constraints,
    coalesce(array_agg(oid) filter (where class = 'pg_trigger'::regclass), '{}')::text as triggers
  from held";
