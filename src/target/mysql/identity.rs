//! What a MySQL or MariaDB server says it is: which one, whether it is written to, what its user may see and do.
//!
//! Owns the declaration of a rehearsal. Never takes what it may not ask for as a no.

use serde_json::Value;

use super::Connection;
use crate::failure::Result;
use crate::names::{ENVIRONMENT, Place};
use crate::run::record::{Environment, TargetSeen};
use crate::runbook::TargetKind;
use crate::runbook::template::{RenderedSql, as_text};
use crate::sql::Server;
use crate::target::Identity;
use crate::target::db::{Row, SqlError, text_bind};

const IDENTITY: &str = "select @@hostname as host, @@port as port, database() as db, current_user() as usr,
    @@server_id as server_id, @@global.read_only as read_only, @@sql_mode as sql_mode,
    (select count(*) from information_schema.tables where table_schema = database()
        and table_name in ('backout_claim', 'backout_marker')) as tables";

/// Whether the user may see the sessions of others. CURRENT_USER is `name@host`; the list of rights has
/// `'name'@'host'`.
pub const SEES_ALL: &str = "select exists (select 1 from information_schema.user_privileges
    where privilege_type = 'PROCESS'
      and grantee = concat('''', replace(current_user(), '@', '''@'''), '''')) as sees_all";

/// What claim and marker are used for. Reading such a statement, a server asks for the rights that running it needs.
const USED: [&str; 4] = [
    "insert into backout_claim (runbook, run_id, epoch, holder) values ('', '', 0, '')",
    "update backout_claim set run_id = '', epoch = epoch + 1, holder = '' where runbook = ''",
    "insert into backout_marker (run_id, step, n, runbook, intent, holder, audit_seq, audit_head)
        select '', '', 0, '', '', '', 0, '' from backout_claim c where c.epoch = 0 lock in share mode",
    "select intent, audit_head from backout_marker where run_id = ''",
];

impl Connection {
    /// What the server says it is, and which environment it declares.
    ///
    /// # Errors
    /// The server's words.
    pub async fn identity(&mut self) -> Result<Identity> {
        let target = self.target.clone();
        self.read_identity().await.map_err(|error| error.failure("reading the identity", &target))
    }

    async fn read_identity(&mut self) -> Result<Identity, SqlError> {
        let row = self.own(IDENTITY).await?;
        let text = |name: &str| row.get(name).map(as_text).unwrap_or_default();
        // Two servers on one machine differ in the port, two clones of one in the host.
        let mut identity = format!("{}:{}/{}/{}", text("host"), text("port"), text("server_id"), text("db"));
        if let Ok(row) = self.own("select @@server_uuid as id").await {
            identity = format!("{}/{identity}", row.get("id").map(as_text).unwrap_or_default());
        }
        let (replica, role) = role(&self.sources().await);
        // `OFF` and `0` are the same answer of different versions.
        let read_only = !matches!(text("read_only").as_str(), "0" | "OFF" | "");
        let strict = match text("sql_mode") {
            mode if mode.contains("STRICT_TRANS_TABLES") || mode.contains("STRICT_ALL_TABLES") => "strict",
            _ => "NOT STRICT: a value that does not fit is changed without an error",
        };
        let mut words = vec![
            format!("{} @ {} as {}", text("db"), self.where_to, text("usr")),
            role,
            format!("server_id {}", text("server_id")),
            strict.to_owned(),
        ];
        if read_only {
            words.insert(1, "read_only".to_owned());
        }
        let cipher = self.own("show session status like 'Ssl_cipher'").await.ok();
        let nonce = self.declared(&identity).await;
        let there = row.get("tables").and_then(Value::as_i64) == Some(2);
        let lacks = if there { self.lacks().await? } else { None };
        Ok(Identity {
            seen: TargetSeen {
                name: self.target.clone(),
                server: self.server.to_string(),
                words: words.join(", "),
                identity,
                timeline: None,
            },
            kind: TargetKind::Mysql,
            environment: if nonce.is_some() { Environment::Rehearsal } else { Environment::Production },
            nonce,
            standby: read_only || replica,
            read_only: false,
            encrypted: cipher.map(|row| row.values().nth(1).is_some_and(|cipher| !as_text(cipher).is_empty())),
            sees_sessions: self.own(SEES_ALL).await?.get("sees_all").is_some_and(|sees| as_text(sees) == "1"),
            has_marker: there && lacks.is_none(),
            lacks,
        })
    }

    /// Why the tables that are there cannot be used, in the server's words.
    async fn lacks(&mut self) -> Result<Option<String>, SqlError> {
        match self.parse(&USED).await {
            Ok(()) => Ok(None),
            Err(error) if error.lost || error.code.is_none() => Err(error),
            Err(error) => Ok(Some(error.words())),
        }
    }

    /// The servers that this one copies, one row each.
    async fn sources(&mut self) -> Result<Vec<Row>, SqlError> {
        let ways: &[&str] = match self.server {
            Server::MariaDb(_) => &["show all slaves status"],
            // The first is not known before 8.0.22, the second not from 8.4 on.
            _ => &["show replica status", "show slave status"],
        };
        let mut last = Err(SqlError::new("no way to ask"));
        for sql in ways {
            last = self.rows(&RenderedSql { sql: (*sql).to_owned(), binds: Vec::new() }, None).await;
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// The nonce of the declaration that names this very database; none for anything else, an error included.
    async fn declared(&mut self, identity: &str) -> Option<String> {
        let table = Place::Prefix.table(ENVIRONMENT);
        let sql = RenderedSql {
            sql: format!("select nonce from {table} where environment = 'rehearsal' and identity = ?"),
            binds: vec![text_bind(identity)],
        };
        self.rows(&sql, None).await.ok()?.first()?.get("nonce").map(as_text)
    }
}

/// Whether a server copies others, from what it says of them, and in words which, how far behind and whether it goes
/// on. Where that may not be asked, it counts as one that does not, and that is said.
pub fn role(sources: &Result<Vec<Row>, SqlError>) -> (bool, String) {
    let rows = match sources {
        Ok(rows) if rows.is_empty() => return (false, "primary".to_owned()),
        Ok(rows) => rows,
        Err(error) => return (false, format!("cannot see whether it is a replica: {}", error.words())),
    };
    let source = |row: &Row| {
        let one = |names: [&str; 2]| {
            names
                .iter()
                .find_map(|name| row.get(*name))
                .filter(|value| !value.is_null())
                .map(as_text)
                .unwrap_or_default()
        };
        let runs = |names| one(names) == "Yes";
        let behind = match one(["Seconds_Behind_Master", "Seconds_Behind_Source"]) {
            seconds if seconds.is_empty() => "how far behind is not known".to_owned(),
            seconds => format!("{seconds} s behind"),
        };
        let reads = runs(["Slave_IO_Running", "Replica_IO_Running"]);
        let applies = runs(["Slave_SQL_Running", "Replica_SQL_Running"]);
        let halted = match (reads, applies) {
            (true, true) => "",
            (false, true) => ", NOT reading",
            (true, false) => ", NOT applying",
            (false, false) => ", NOT running",
        };
        format!("replica of {}, {behind}{halted}", one(["Master_Host", "Source_Host"]))
    };
    (true, rows.iter().map(source).collect::<Vec<_>>().join("; "))
}

/// Declares this database a rehearsal: only what its own server says it is makes the row count.
///
/// # Errors
/// The server's words.
pub async fn declare_rehearsal(connection: &mut Connection, nonce: &str) -> Result<()> {
    let identity = connection.identity().await?.seen.identity;
    let table = Place::Prefix.table(ENVIRONMENT);
    let target = connection.target.clone();
    let plain = |sql: String| RenderedSql { sql, binds: Vec::new() };
    for sql in [
        plain(format!(
            "create table if not exists {table} (environment text not null, identity text not null, nonce text not null)"
        )),
        plain(format!("delete from {table}")),
        RenderedSql {
            sql: format!("insert into {table} values ('rehearsal', ?, ?)"),
            binds: vec![text_bind(identity), text_bind(nonce)],
        },
    ] {
        connection.execute(&sql).await.map_err(|e| e.failure("declaring the rehearsal", &target))?;
    }
    Ok(())
}
