//! Functions by name: those that only compute or read, those whose effects no rollback takes back, and the words that
//! stand before a parenthesis without being functions.

use super::super::lex::Kind;
use super::super::words::{Word, Words};
use super::{Class, Dialect};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Harmless,
    /// Harmless, but with another answer at each call.
    Volatile,
    Unknown,
    Dangerous(Class, &'static str),
}

/// What is known of a function; names with a schema of their own are unknown.
pub(super) fn verdict(dialect: Dialect, name: &str) -> Verdict {
    if let Some((_, class, because)) = danger(dialect).iter().find(|(pattern, ..)| matches(pattern, name)) {
        return Verdict::Dangerous(*class, because);
    }
    if VOLATILE.split_whitespace().any(|known| known == name) {
        return Verdict::Volatile;
    }
    let own = match dialect {
        Dialect::Postgres => POSTGRES,
        Dialect::Mysql => MYSQL,
        Dialect::Sqlite => SQLITE,
    };
    if COMMON.split_whitespace().chain(own.split_whitespace()).any(|known| known == name) {
        Verdict::Harmless
    } else {
        Verdict::Unknown
    }
}

/// `name*` matches what begins so. A schema before the name does not make it harmless: extensions live anywhere.
fn matches(pattern: &str, name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    match pattern.strip_suffix('*') {
        Some(start) => last.starts_with(start),
        None => last == pattern,
    }
}

/// Whether the word is grammar where it stands, not a function. Words that are not reserved are grammar only where their
/// grammar puts them: anywhere else, the name of a function of somebody's own.
pub(super) fn grammar(words: &Words<'_>, at: usize) -> bool {
    let word = &words.all[at];
    if word.token.kind != Kind::Word {
        return false;
    }
    let own = match words.dialect {
        Dialect::Postgres => "",
        Dialect::Mysql => "key index binary use force ignore match",
        Dialect::Sqlite => "glob",
    };
    let listed = |list: &str| list.split_whitespace().any(|known| known == word.text);
    if listed(RESERVED) || listed(own) {
        return true;
    }
    let before = |n: usize, text: &str| at.checked_sub(n).is_some_and(|i| words.all[i].is(text));
    let closed = at > 0 && words.all[at - 1].punct(")");
    match word.text.as_str() {
        "filter" | "over" | "overlaps" | "against" => closed,
        "by" => before(1, "group") || before(1, "order") || before(1, "partition"),
        "sets" => before(1, "grouping"),
        "cube" | "rollup" => {
            before(1, "by") || (at > 0 && words.all[at - 1].punct(",") && words.all.iter().any(|w| w.is("group")))
        }
        "conflict" => before(1, "on") && words.all.iter().any(|w| w.is("insert")),
        "materialized" => before(1, "as") || (before(1, "not") && before(2, "as")),
        _ if listed(BEHIND_AN_OPERAND) => at == 0 || operand_ends(&words.all[at - 1]),
        _ => false,
    }
}

/// Whether an expression may end with this word, so that no other can begin behind it.
fn operand_ends(word: &Word) -> bool {
    match word.token.kind {
        Kind::Punct => word.punct(")") || word.punct("]"),
        Kind::Word => !BEGINS_AN_EXPRESSION.split_whitespace().any(|known| known == word.text),
        _ => true,
    }
}

const BEGINS_AN_EXPRESSION: &str = "select distinct all where and or not when then else on by having case from lateral \
    limit offset values in any some between like ilike to is as using returning default check return union except \
    intersect";

const BEHIND_AN_OPERAND: &str = "set join partition escape varying verbose explain match regexp";

/// No function has such a name, unless it is quoted.
const RESERVED: &str = "all and any array as between case check dec decimal default distinct else except exists float \
    from group grouping having ilike in intersect interval into is like limit not numeric offset on only or order \
    primary references returning row select similar some table then time timestamp timestamptz timetz to union unique \
    using values varbit varchar bit char character nchar when where window with end for foreign constraint lateral";

/// Known to be harmless in every dialect that has them.
const COMMON: &str = "abs json json_table json_serialize avg ceil ceiling coalesce concat concat_ws count exp floor greatest group_concat ifnull iif \
    json_array json_object least length ln log log10 lower ltrim max min mod nullif pi pow power replace round rtrim sign \
    sqrt string_agg substr substring sum trim upper cast extract position overlay cume_dist dense_rank first_value lag \
    last_value lead nth_value ntile percent_rank rank row_number acos asin atan atan2 cos cot degrees radians sin tan \
    current_timestamp current_date current_time localtime localtimestamp now left right lpad rpad reverse repeat hex md5 \
    ascii char_length character_length octet_length bit_length date time datetime timestamp year month day hour minute \
    second format convert";

const VOLATILE: &str = "random clock_timestamp timeofday gen_random_uuid uuidv4 uuidv7 uuid rand randomblob";

const POSTGRES: &str = "abbrev age any_value array_agg array_append array_cat array_dims array_fill array_length \
    array_lower array_ndims array_position array_positions array_prepend array_remove array_replace array_sample \
    array_shuffle array_to_json array_to_string array_upper bit_and bit_count bit_or bit_xor bool bool_and bool_or \
    broadcast btrim cardinality cbrt chr col_description corr covar_pop covar_samp current_database current_query \
    current_role current_schema current_schemas current_setting current_user date_bin date_part date_trunc daterange \
    decode div encode enum_first enum_last enum_range every factorial family float4 float8 format_type gcd \
    generate_series generate_subscripts get_bit get_byte grouping has_any_column_privilege has_column_privilege \
    has_database_privilege has_function_privilege has_schema_privilege has_sequence_privilege has_table_privilege \
    has_type_privilege host hostmask inet_client_addr inet_client_port inet_server_addr inet_server_port initcap int2 \
    int4 int4range int8 int8range isempty isfinite json_agg json_array_elements json_array_elements_text \
    json_array_length json_build_array json_build_object json_each json_each_text json_exists json_extract_path \
    json_extract_path_text json_object_agg json_object_keys json_populate_record json_populate_recordset json_query \
    json_scalar json_strip_nulls json_to_record json_to_recordset json_typeof json_value jsonb_agg \
    jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each \
    jsonb_each_text jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg \
    jsonb_object_keys jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array \
    jsonb_path_query_first jsonb_populate_record jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_strip_nulls \
    jsonb_to_record jsonb_to_recordset jsonb_typeof justify_days justify_hours justify_interval lcm lower_inc \
    lower_inf make_date make_interval make_time make_timestamp make_timestamptz masklen mode mxid_age netmask network \
    normalize num_nonnulls num_nulls numnode numrange obj_description parse_ident percentile_cont percentile_disc \
    pg_backend_pid pg_blocking_pids pg_column_size pg_conf_load_time pg_control_system pg_current_wal_insert_lsn \
    pg_current_wal_lsn pg_current_xact_id_if_assigned pg_database_size pg_describe_object pg_encoding_to_char \
    pg_function_is_visible pg_get_constraintdef pg_get_expr pg_get_function_arguments \
    pg_get_function_identity_arguments pg_get_function_result pg_get_functiondef pg_get_indexdef pg_get_partkeydef \
    pg_get_ruledef pg_get_serial_sequence pg_get_statisticsobjdef pg_get_triggerdef pg_get_userbyid pg_get_viewdef \
    pg_has_role pg_index_column_has_property pg_indexes_size pg_is_in_recovery pg_is_other_temp_schema \
    pg_is_wal_replay_paused pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp \
    pg_my_temp_schema pg_partition_ancestors pg_partition_root pg_partition_tree pg_postmaster_start_time \
    pg_relation_filenode pg_relation_size pg_size_bytes pg_size_pretty pg_table_is_visible pg_table_size \
    pg_tablespace_size pg_total_relation_size pg_type_is_visible pg_typeof pg_wal_lsn_diff phraseto_tsquery \
    plainto_tsquery quote_ident quote_literal quote_nullable range_agg range_merge record_image_eq record_image_ne \
    regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array \
    regexp_split_to_table regexp_substr regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx \
    regr_sxy regr_syy row_to_json scale session_user set_bit set_byte set_masklen setweight sha224 sha256 sha384 \
    sha512 shobj_description split_part starts_with statement_timestamp stddev stddev_pop stddev_samp string_to_array \
    string_to_table strip strpos text to_ascii to_bin to_char to_date to_hex to_json to_jsonb to_number to_oct \
    to_regclass to_regnamespace to_regoper to_regoperator to_regproc to_regprocedure to_regrole to_regtype \
    to_timestamp to_tsquery to_tsvector transaction_timestamp translate treat trim_array trim_scale trunc ts_headline \
    ts_rank ts_rank_cd tsrange tstzrange tsvector_to_array txid_current_if_assigned txid_current_snapshot unistr \
    unnest upper_inc upper_inf user var_pop var_samp variance version websearch_to_tsquery width_bucket xmlagg \
    xmlconcat xmlelement xmlforest xpath xpath_exists";

const MYSQL: &str = "adddate addtime bin bit_and bit_count bit_or bit_xor char connection_id conv convert_tz crc32 \
    curdate current_role current_user curtime database date_add date_format date_sub datediff dayname dayofmonth dayofweek \
    dayofyear elt export_set field find_in_set found_rows from_base64 from_days from_unixtime get_format grouping if inet6_aton \
    inet6_ntoa inet_aton inet_ntoa insert instr is_ipv4 is_ipv6 isnull json_arrayagg json_contains json_contains_path \
    json_depth json_extract json_insert json_keys json_length json_merge_patch json_merge_preserve json_objectagg \
    json_overlaps json_pretty json_quote json_remove json_replace json_schema_valid json_search json_set json_table \
    json_type json_unquote json_valid json_value last_day lcase locate log2 make_set makedate maketime microsecond mid \
    monthname oct ord period_add period_diff quarter quote regexp_instr regexp_like regexp_replace regexp_substr \
    row_count schema sec_to_time session_user sha sha1 sha2 soundex space std stddev stddev_pop stddev_samp str_to_date \
    strcmp subdate substring_index subtime system_user sysdate time_format time_to_sec timediff timestampadd \
    timestampdiff to_base64 to_days to_seconds truncate ucase unhex unix_timestamp user utc_date utc_time utc_timestamp \
    var_pop var_samp variance version week weekday weekofyear yearweek any_value";

const SQLITE: &str = "changes char glob instr json json_array_length json_each json_error_position json_extract \
    json_group_array json_group_object json_insert json_patch json_pretty json_quote json_remove json_replace json_set \
    json_tree json_type json_valid jsonb jsonb_array jsonb_extract jsonb_group_array jsonb_group_object jsonb_insert \
    jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set julianday last_insert_rowid like likelihood likely \
    octet_length printf quote soundex sqlite_compileoption_get sqlite_compileoption_used sqlite_source_id \
    sqlite_version strftime timediff total total_changes trunc typeof unicode unhex unistr unixepoch unlikely zeroblob \
    generate_series median percentile pragma_database_list pragma_foreign_key_check pragma_foreign_key_list \
    pragma_foreign_keys pragma_function_list pragma_index_info pragma_index_list pragma_index_xinfo \
    pragma_integrity_check pragma_journal_mode pragma_page_count pragma_page_size pragma_quick_check \
    pragma_schema_version pragma_table_info pragma_table_list pragma_table_xinfo pragma_user_version";

type Danger = (&'static str, Class, &'static str);

fn danger(dialect: Dialect) -> &'static [Danger] {
    match dialect {
        Dialect::Postgres => &POSTGRES_DANGER,
        Dialect::Mysql => &MYSQL_DANGER,
        Dialect::Sqlite => &SQLITE_DANGER,
    }
}

const POSTGRES_DANGER: [Danger; 52] = [
    ("pg_terminate_backend", Class::Utility, "it ends another session"),
    ("pg_cancel_backend", Class::Utility, "it cancels another session's statement"),
    ("pg_advisory_*", Class::Utility, "the lock outlives the transaction"),
    ("pg_try_advisory_*", Class::Utility, "the lock outlives the transaction"),
    ("pg_reload_conf", Class::Utility, "it reloads the server's configuration"),
    ("pg_rotate_logfile*", Class::Utility, "it acts on the server's files"),
    ("pg_switch_wal", Class::Utility, "it writes the log"),
    ("pg_create_restore_point", Class::Utility, "it writes the log"),
    ("pg_logical_emit_message", Class::Utility, "it writes the log"),
    ("pg_logical_slot_*", Class::Irreversible, "it moves a replication slot"),
    ("pg_replication_*", Class::Irreversible, "it changes replication"),
    ("pg_drop_replication_slot", Class::Irreversible, "a consumer loses its place"),
    ("pg_create_*slot*", Class::Utility, "a slot holds back the log"),
    ("pg_create_logical_replication_slot", Class::Utility, "a slot holds back the log"),
    ("pg_create_physical_replication_slot", Class::Utility, "a slot holds back the log"),
    ("pg_copy_*", Class::Utility, "a slot holds back the log"),
    ("pg_promote", Class::Irreversible, "it makes a standby a primary"),
    ("pg_wal_replay_*", Class::Utility, "it stops or starts replay"),
    ("pg_backup_*", Class::Utility, "it starts or stops a backup"),
    ("pg_start_backup", Class::Utility, "it starts a backup"),
    ("pg_stop_backup", Class::Utility, "it stops a backup"),
    ("pg_stat_reset*", Class::Irreversible, "the statistics are gone"),
    ("pg_stat_statements_reset", Class::Irreversible, "the statistics are gone"),
    ("pg_file_*", Class::Irreversible, "it writes files on the server"),
    ("pg_read_*", Class::Utility, "it reads files on the server"),
    ("pg_ls_*", Class::Utility, "it reads directories on the server"),
    ("pg_import_system_collations", Class::Ddl, "it changes the catalog"),
    ("pg_notify", Class::Utility, "listeners act on it"),
    ("pg_sleep*", Class::Utility, "it holds a transaction open"),
    ("pg_export_snapshot", Class::Utility, "it writes a file on the server"),
    ("lo_*", Class::Irreversible, "it changes large objects or files"),
    ("dblink*", Class::Irreversible, "it runs SQL in another session"),
    ("lowrite", Class::Irreversible, "it changes large objects"),
    ("loread", Class::Utility, "it reads large objects through a handle"),
    ("query_to_xml*", Class::Irreversible, "it runs the SQL in its argument"),
    ("ts_rewrite", Class::Irreversible, "it runs the SQL in its argument"),
    ("crosstab*", Class::Irreversible, "it runs the SQL in its argument"),
    ("connectby", Class::Irreversible, "it runs the SQL in its argument"),
    ("xpath_table", Class::Irreversible, "it runs the SQL in its argument"),
    ("heap_force_*", Class::Irreversible, "it destroys or alters rows past all rules"),
    ("binary_upgrade_*", Class::Irreversible, "it changes the catalog past all rules"),
    ("pg_log_*", Class::Utility, "it makes another session write the server's log"),
    ("pg_sync_*", Class::Irreversible, "it moves replication slots"),
    ("pg_clear_*", Class::Irreversible, "the statistics are gone"),
    ("pg_restore_*", Class::Irreversible, "it overwrites statistics"),
    ("pg_prewarm", Class::Utility, "it fills the server's memory"),
    ("pg_truncate_visibility_map", Class::Utility, "it acts on the table's files"),
    ("ts_stat", Class::Irreversible, "it runs the SQL in its argument"),
    ("nextval", Class::Write, "sequence values do not come back"),
    ("setval", Class::Write, "a sequence is set for everybody at once"),
    ("set_config", Class::Transaction, "it changes the session, its role and its walls too"),
    ("txid_current", Class::Write, "it takes a transaction id"),
];

const MYSQL_DANGER: [Danger; 12] = [
    ("sleep", Class::Utility, "it holds a transaction open"),
    ("benchmark", Class::Utility, "it burns the server's time"),
    ("get_lock", Class::Utility, "the lock outlives the transaction"),
    ("release_lock", Class::Utility, "it releases a lock"),
    ("release_all_locks", Class::Utility, "it releases locks"),
    ("load_file", Class::Utility, "it reads files on the server"),
    ("sys_exec", Class::Irreversible, "it runs a program on the server"),
    ("sys_eval", Class::Irreversible, "it runs a program on the server"),
    ("last_insert_id", Class::Session, "with an argument it changes the session"),
    ("master_pos_wait", Class::Utility, "it waits for replication"),
    ("nextval", Class::Write, "sequence values do not come back"),
    ("setval", Class::Write, "a sequence is set for everybody at once"),
];

const SQLITE_DANGER: [Danger; 6] = [
    ("load_extension", Class::Irreversible, "it runs code from a file"),
    ("writefile", Class::Irreversible, "it writes a file"),
    ("readfile", Class::Utility, "it reads a file"),
    ("edit", Class::Utility, "it starts a program"),
    ("eval", Class::Irreversible, "it runs the SQL in its argument"),
    ("fts3_tokenizer", Class::Irreversible, "it runs code from an address"),
];
