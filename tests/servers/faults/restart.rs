//! A server that restarts under a step, in order or by a crash, at each moment of its life.

use futures_util::future::join_all;

use super::server::{Server, Stop};
use super::{MOMENTS, When, ends, eventually, plays};
use crate::takeover::said;

async fn restarted(stop: Stop) {
    let Some(mut server) = Server::postgres(&[]).await else { return };
    let plays = plays(&MOMENTS, &server.first()).await;
    server.restarts(stop).await;
    let ended = plays.into_iter().map(async |mut play| {
        play.released().await;
        play.proxy.goes_on();
        let output = play.ends().await;
        let there = play.when.committed();
        match output.status.code() {
            // What waits on the server hears at once that it goes, and asks while it is away.
            Some(7) if play.when.held().is_some() => play.is_resumed(false).await,
            Some(1) if !there => play.is_resumed(false).await,
            code => {
                assert!(there && code == Some(0), "{stop:?} {:?}: {}", play.when, said(&output));
                play.whole(true).await;
            }
        }
    });
    join_all(ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_takes_back_what_was_not_committed() {
    restarted(Stop::Fast).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_takes_back_what_was_not_committed() {
    restarted(Stop::Crash).await;
}

/// A COMMIT that waits for a standby is on disk, and nobody can see it yet: ended then, or by a crash, it is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_waits_for_a_standby_is_not_taken_for_none() {
    let Some(mut server) = Server::postgres(&["synchronous_standby_names=nobody", "synchronous_commit=local"]).await
    else {
        return;
    };
    let plays = plays(&[When::InTheCommit; 2], &server.first()).await;
    let mut resumed = Vec::new();
    for mut play in plays {
        play.released().await;
        play.proxy.keeps_the_server_in_the_dark();
        let waits = format!("SELECT count(*) {} AND wait_event = 'SyncRep'", super::SESSIONS);
        eventually("a wait for the standby", async || play.number(&waits).await == 1).await;
        play.killed();
        let resume = play.operator.starts("resume");
        play.is_looked_for().await;
        assert!(!play.there().await && play.says("constrain", 1).is_none());
        resumed.push((play, resume));
    }
    let (one, other) = (resumed.remove(0), resumed.remove(0));
    one.0.terminated().await;
    let output = ends(one.1).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    one.0.whole(true).await;
    server.restarts(Stop::Crash).await;
    let output = ends(other.1).await;
    // It saw the server again in time, or not.
    match output.status.code() {
        Some(7) => other.0.is_resumed(true).await,
        code => {
            assert_eq!(code, Some(0), "{}", said(&output));
            other.0.whole(true).await;
        }
    }
}
