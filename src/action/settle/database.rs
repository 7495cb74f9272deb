//! Evidence in a database: is it the same and no older one, is a session of the attempt left, is its marker there or what
//! commits with it, what does the catalog show.

use serde_json::{Value, json};

use super::{Gathered, PATIENCE, done};
use crate::action::{ddl, marker};
use crate::check::Context;
use crate::names;
use crate::run::gate::offer_digest;
use crate::run::record::{Offer, Point, TargetSeen};
use crate::run::settle::{Left, Marker, Server, Way};
use crate::runbook::template::as_text;
use crate::runbook::{Action, Step};
use crate::sql::Dialect;
use crate::target::db::{Handle, bind, text_bind};
use crate::text::counted;

pub(super) async fn gather(
    step: &Step,
    offer: &Offer,
    reached: &[(Point, Value)],
    found: &mut Gathered,
    ctx: &Context,
) {
    let Some(target) = &offer.target else { return };
    let (server, words) = server(target, ctx).await;
    found.say("target", words);
    found.evidence.server = server;
    if server != Server::Same {
        return;
    }
    let opened = reached.iter().rev().map(|(_, data)| data).find(|data| data.get("pid").is_some());
    if let Some(words) = gone_back(opened, offer, reached, &target.name, ctx).await {
        found.say("target", words);
        // What is there is proof of itself: only what is missing is in doubt.
        let marked =
            found.evidence.way == Way::Transaction && read_marker(offer, &target.name, ctx).await.0 == Marker::Ours;
        if !marked {
            found.evidence.server = Server::Another;
            return;
        }
    }
    let (left, words) = sessions(opened, offer, found.evidence.way, &target.name, ctx).await;
    found.say("sessions", words);
    found.evidence.left = match left {
        // Sessions of others are ended through a connection that the log does not name.
        Left::Nothing if found.evidence.way == Way::Plain && opened.is_none() => Left::Unseen,
        left => left,
    };
    if found.evidence.left == Left::Something {
        return;
    }
    found.evidence.stood = opened.and_then(ddl::stood);
    if offer.epoch.is_some() && (found.evidence.way == Way::Transaction || opened.is_some()) {
        let (marker, words) = read_marker(offer, &target.name, ctx).await;
        found.say("marker", words);
        found.evidence.marker = marker;
    }
    if found.evidence.way == Way::Plain {
        return found.done(&done::of(step, offer, ctx).await);
    }
    match found.evidence.marker {
        Marker::Ours => remember(reached, found),
        Marker::Missing | Marker::None => {
            if let Some(words) = trace(opened, offer, &target.name, ctx).await {
                found.say("trace", words);
                found.evidence.trace = true;
            }
        }
        _ => {}
    }
    match found.evidence.marker {
        Marker::None => found.done(&done::of(step, offer, ctx).await),
        // Rows move by other hands while a marker does not: beside one, only a catalog can contradict.
        Marker::Ours | Marker::Missing if catalog(step, offer, ctx) => {
            found.done(&done::in_world(step, offer, ctx).await);
        }
        _ => {}
    }
}

async fn server(target: &TargetSeen, ctx: &Context) -> (Server, String) {
    let mut identity = ctx.targets.identity(&target.name).await;
    if identity.is_err() {
        // Only its own connection may have ended, with the one that is settled.
        identity = ctx.targets.identity(&target.name).await;
    }
    match identity {
        Err(failure) => (Server::Silent, failure.to_string()),
        Ok(now) if !now.seen.is(target) => {
            (Server::Another, format!("it is {} now, and was {}", now.seen.told(), target.told()))
        }
        Ok(now) if now.standby => (Server::Standby, "it is a standby".to_owned()),
        Ok(now) => (Server::Same, format!("the same: {}", now.seen.told())),
    }
}

/// Why what answers may lack what was there when the attempt began: a database of the same name that was made since, a
/// backup of before it, or a claim that it took and that is not there.
async fn gone_back(
    opened: Option<&Value>,
    offer: &Offer,
    reached: &[(Point, Value)],
    target: &str,
    ctx: &Context,
) -> Option<String> {
    let mut handle = ctx.targets.monitor(target).await.ok()?;
    let part = |name: &str| opened.and_then(|data| data.get(name)).map(as_text).unwrap_or_default();
    if handle.dialect() == Some(Dialect::Postgres)
        && !part("wal").is_empty()
        && let Ok(row) = handle.read(PLACE, vec![text_bind(part("database")), text_bind(part("wal"))]).await
    {
        let is = |name: &str| row.first().and_then(|row| row.get(name)) == Some(&Value::Bool(true));
        if is("another") {
            return Some("the database of that name is another one: it was made after this attempt began".to_owned());
        }
        if is("behind") {
            let wal = part("wal");
            return Some(format!(
                "its log ends before {wal}, where it stood when this attempt began: a restored backup?"
            ));
        }
    }
    // It was taken in a transaction of its own before the first point.
    let epoch = offer.epoch.filter(|_| !reached.is_empty())?;
    let claim = marker::claim(&mut handle, &ctx.access.runbook).await.ok()?;
    match claim {
        Some(claim) if claim.epoch >= epoch => None,
        Some(claim) => {
            Some(format!("its claim is of epoch {}, and this attempt took {epoch}: a restored backup?", claim.epoch))
        }
        None => Some(
            "the claim that this attempt took is not there: a restored backup, or somebody took it away".to_owned(),
        ),
    }
}

const PLACE: &str = "select oid::text <> $1::text as another, pg_current_wal_insert_lsn() < $2::text::pg_lsn as behind
    from pg_database where datname = current_database()";

/// What commits with the marker and is there without it. A number counts as long as the server has not been started
/// again: what a crash loses of the numbers it gives away a second time.
async fn trace(opened: Option<&Value>, offer: &Offer, target: &str, ctx: &Context) -> Option<String> {
    let mut handle = ctx.targets.monitor(target).await.ok()?;
    let dialect = handle.dialect()?;
    let saved = marker::portable(
        dialect,
        "select count(*) as n from {b}before_image where run_id = $1::text and step = $2::text and n = $3::bigint",
    );
    let binds = vec![text_bind(&offer.run), text_bind(&offer.step), bind(json!(offer.att))];
    let saved = handle.one(saved, binds).await.ok().flatten().and_then(|n| n.as_u64()).unwrap_or(0);
    if saved > 0 {
        return Some(format!("its before-image is there, {}", counted(saved, "row")));
    }
    let part = |name: &str| opened.and_then(|data| data.get(name)).map(as_text).filter(|text| !text.is_empty());
    let (xid, start) = (part("xid")?, part("backend_start")?);
    let status = handle.one(NUMBER, vec![text_bind(&xid), text_bind(start)]).await.ok().flatten()?;
    (status == "committed").then(|| format!("the server says that its transaction {xid} is committed"))
}

const NUMBER: &str = "select pg_xact_status($1::text::xid8) as status
    where pg_postmaster_start_time() <= $2::text::timestamptz";

/// Sessions of the attempt, by process id and start where the log has them, and by the name that only this attempt has;
/// waits a while for the server to notice that their client is gone, or for its statement to come to its end. One whose
/// transaction has ended may stay for as long as the server believes in its client, and has nothing left to do.
async fn sessions(opened: Option<&Value>, offer: &Offer, way: Way, target: &str, ctx: &Context) -> (Left, String) {
    let part = |name: &str| opened.and_then(|data| data.get(name)).map(as_text).unwrap_or_default();
    let (pid, start) = (part("pid"), part("backend_start"));
    let app = names::application_name(ctx.access.run8(), &offer.step, offer.att);
    let ended = if way == Way::Transaction { "idle" } else { "" };
    let began = tokio::time::Instant::now();
    loop {
        let row = {
            let mut handle = match ctx.targets.monitor(target).await {
                Ok(handle) => handle,
                Err(failure) => return (Left::Unseen, format!("cannot see: {failure}")),
            };
            let (sql, mut binds) = match &*handle {
                Handle::Postgres(_) => (BACKEND.to_owned(), vec![text_bind(&app), text_bind(ended)]),
                Handle::Mysql(_) if pid.is_empty() => {
                    return (Left::Nothing, "no connection of that attempt had begun".to_owned());
                }
                Handle::Mysql(connection) => (CONNECTION.replace("{known_by}", &connection.known_by()), Vec::new()),
                _ => return (Left::Nothing, "a file has no sessions: its locks went with the process".to_owned()),
            };
            binds.splice(0..0, [text_bind(&pid), text_bind(&start)]);
            match handle.read(sql, binds).await {
                Ok(rows) => rows.into_iter().next(),
                Err(error) => return (Left::Unseen, format!("cannot see: {}", error.words())),
            }
        };
        let Some(row) = row else { return (Left::Nothing, "none of that attempt is left".to_owned()) };
        if began.elapsed() >= PATIENCE {
            let text = |name: &str| row.get(name).map(as_text).unwrap_or_default();
            return (Left::Something, format!("pid {} is {}: {}", text("pid"), text("state"), text("query")));
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

const BACKEND: &str =
    "select pid, coalesce(state, 'state not visible') as state, coalesce(left(query, 80), '') as query
     from pg_stat_activity where state is distinct from $4::text
       and ((application_name = $3::text and datname = current_database())
         or (pid = nullif($1::text, '')::bigint and backend_start = nullif($2::text, '')::timestamptz))";

/// A statement that its client left goes on to its end. It is the same user's, who always sees it. An older log has no
/// start of the server.
const CONNECTION: &str = "select p.id as pid, lower(p.command) as state, left(coalesce(p.info, ''), 80) as query
    from information_schema.processlist p where p.id = $1 and p.id <> connection_id()
      and ($2 in ('', concat(p.user, '@', p.host)) or {known_by} = $2)";

async fn read_marker(offer: &Offer, target: &str, ctx: &Context) -> (Marker, String) {
    let read = async {
        let mut handle = ctx.targets.monitor(target).await.map_err(|f| f.to_string())?;
        marker::read(&mut handle, &offer.run, &offer.step, offer.att).await.map_err(|e| e.words())
    };
    match read.await {
        Ok(Some(digest)) if digest == offer_digest(offer) => (Marker::Ours, "there, with this offer's digest".into()),
        Ok(Some(_)) => (Marker::Anothers, "there, with another digest".into()),
        Ok(None) => (Marker::Missing, "not there".into()),
        Err(words) => (Marker::Unreadable, format!("cannot be read: {words}")),
    }
}

/// What the attempt said of itself before COMMIT: it was on disk before the point was passed.
fn remember(reached: &[(Point, Value)], found: &mut Gathered) {
    let ready = reached.iter().rev().find(|(point, _)| *point == Point::Ready).map(|(_, data)| data);
    found.changed = ready.and_then(|data| data.get("changed")?.as_u64());
    found.before_image = ready.and_then(|data| Some(data.get("before_image")?.as_str()?.to_owned()));
}

/// Whether the catalog alone shows what the attempt did.
fn catalog(step: &Step, offer: &Offer, ctx: &Context) -> bool {
    let acted = match &offer.undoes {
        Some(undone) => ctx.runbook.steps.get(undone),
        None => Some(step),
    };
    acted.is_some_and(|acted| {
        let declared = offer.undoes.is_some() && acted.undo.is_some();
        !declared && acted.done_when.is_empty() && matches!(acted.action, Action::Ddl(_))
    })
}
