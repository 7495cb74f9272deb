//! A line that is gone without a word: nobody answers, and nobody says that nobody will.

use backout::run::record::OutcomeResult;
use futures_util::future::join_all;

use super::{Play, When, plays};
use crate::support;
use crate::takeover::said;

/// The session is gone from the server, and its client does not hear so: it finds out, and what it did is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_gone_is_not_waited_for_for_ever() {
    let Some(server) = support::server("faults", support::POSTGRES) else { return };
    let moments = [When::AfterTheStatement, When::BeforeTheCommit, When::AfterTheCommit];
    let silent = plays(&moments, &server).await.into_iter().map(async |mut play: Play| {
        play.proxy.leaves_it_standing();
        play.terminated().await;
        let output = play.ends().await;
        let there = play.when.committed();
        assert_eq!(output.status.code(), Some(i32::from(!there)), "{:?}: {}", play.when, said(&output));
        assert!(said(&output).contains("has no session of pid"), "{:?}: {}", play.when, said(&output));
        match there {
            true => play.whole(true).await,
            false => {
                assert_eq!(play.says("constrain", 1), Some(OutcomeResult::NotApplied), "{:?}", play.when);
                play.is_resumed(false).await;
            }
        }
    });
    join_all(silent).await;
}
