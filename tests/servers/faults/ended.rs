//! A step whose session, line or process ends at each moment of its life.

use backout::run::record::OutcomeResult;
use futures_util::future::join_all;

use super::{MOMENTS, Play, When, ends, eventually, plays};
use crate::support;
use crate::takeover::said;

/// What a run that could go on says of its own attempt: it ends there, or does the rest.
async fn goes_on_knowing(mut play: Play) {
    let output = play.ends().await;
    let there = play.when.committed();
    assert_eq!(output.status.code(), Some(i32::from(!there)), "{:?}: {}", play.when, said(&output));
    if there {
        return play.whole(true).await;
    }
    assert_eq!(play.says("constrain", 1), Some(OutcomeResult::NotApplied), "{:?}: {}", play.when, said(&output));
    assert!(!play.there().await, "{:?}", play.when);
    play.is_resumed(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_session_is_told_by_what_it_left() {
    let Some(server) = support::server("faults", support::POSTGRES) else { return };
    let ended = plays(&MOMENTS, &server).await.into_iter().map(async |play| {
        play.terminated().await;
        play.released().await;
        play.proxy.goes_on();
        goes_on_knowing(play).await;
    });
    join_all(ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_cut_is_told_by_what_is_there() {
    let Some(server) = support::server("faults", support::POSTGRES) else { return };
    let lines = MOMENTS.into_iter().filter(|when| when.held().is_none()).collect::<Vec<_>>();
    let cut = plays(&lines, &server).await.into_iter().map(async |play| {
        play.proxy.cuts();
        goes_on_knowing(play).await;
    });
    join_all(cut).await;
}

/// The run sees nothing of its server any more, and says so; whoever takes it up sees all.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_gone_leaves_an_attempt_to_whoever_takes_it_up() {
    let Some(server) = support::server("faults", support::POSTGRES) else { return };
    let gone = plays(&MOMENTS, &server).await.into_iter().map(async |mut play| {
        play.proxy.goes_down();
        let output = play.ends().await;
        // Without a COMMIT that may have been sent nothing has happened, whatever the server still does.
        let code = if matches!(play.when, When::BeforeTheStatement | When::InTheStatement | When::AfterTheStatement) {
            1
        } else {
            7
        };
        assert_eq!(output.status.code(), Some(code), "{:?}: {}", play.when, said(&output));
        eventually("the end of its session", async || play.sessions().await == 0).await;
        play.released().await;
        let there = play.when.committed();
        assert_eq!(play.there().await, there, "{:?}", play.when);
        play.is_resumed(there).await;
    });
    join_all(gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_what_its_server_has() {
    let Some(server) = support::server("faults", support::POSTGRES) else { return };
    let killed = plays(&MOMENTS, &server).await.into_iter().map(async |mut play| {
        play.killed();
        play.proxy.cuts();
        // Taken up at once: the server may not have noticed yet that nobody is there.
        let resumed = play.operator.starts("resume");
        eventually("the end of its session", async || play.sessions().await == 0).await;
        play.released().await;
        let output = ends(resumed).await;
        assert_eq!(output.status.code(), Some(0), "{:?}: {}", play.when, said(&output));
        play.whole(play.when.committed()).await;
    });
    join_all(killed).await;
}

/// Killed when its COMMIT was on the way, which the server then gets.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_outlives_its_process_is_found() {
    let Some(server) = support::server("faults", support::POSTGRES) else { return };
    let mut play = Play::at(When::BeforeTheCommit, &server).await;
    play.killed();
    let resumed = play.operator.starts("resume");
    play.is_looked_for().await;
    play.proxy.goes_on();
    let output = ends(resumed).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    play.whole(true).await;
}

/// What the server goes on with while nobody listens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Commits,
    IsEnded,
    StaysOpen,
}

/// The server does not learn that its client is gone. Nothing is concluded while it is still at work.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_at_work_is_waited_for() {
    let Some(server) = support::server("faults", support::POSTGRES) else { return };
    let cases = [
        (When::InTheCommit, Left::Commits),
        (When::InTheCommit, Left::IsEnded),
        (When::InTheStatement, Left::StaysOpen),
    ];
    let left = cases.into_iter().map(async |(when, left)| {
        let mut play = Play::at(when, &server).await;
        play.proxy.keeps_the_server_in_the_dark();
        play.killed();
        let mut resumed = play.operator.starts("resume");
        play.is_looked_for().await;
        assert!(resumed.try_wait().unwrap().is_none() && play.says("constrain", 1).is_none());
        if left == Left::IsEnded {
            play.terminated().await;
        }
        play.released().await;
        if left == Left::StaysOpen {
            // Its statement is done and holds its locks; no COMMIT will come.
            let idle = format!("SELECT count(*) {} AND state = 'idle in transaction'", super::SESSIONS);
            eventually("the end of its statement", async || play.number(&idle).await == 1).await;
            assert!(resumed.try_wait().unwrap().is_none() && play.says("constrain", 1).is_none());
            play.proxy.tells_the_server();
        }
        let output = ends(resumed).await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        play.whole(left == Left::Commits).await;
    });
    join_all(left).await;
}
