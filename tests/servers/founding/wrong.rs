//! The wrong order, the wrong step, the wrong words: each ends in the assertion that has failed, by its name, or is
//! refused by name before anything has happened.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backout::rehearsal::postgres::binaries;

use super::{Play, answers, said, support};

const STOP: &str = r#"stop-straggler: { token: "stop-straggler@rehearsal" }"#;
const SKIP: &str = r#"stop-straggler: { skip: true, reason: "it looks idle to me" }"#;

/// On SQLite, and on PostgreSQL where it can be had, at the same time.
fn on_both(play: impl Fn(Play) + Sync) {
    std::thread::scope(|scope| {
        scope.spawn(|| play(Play::on(&["--on", "sqlite"])));
        if binaries().is_some() {
            scope.spawn(|| play(Play::on(&["--on", "postgres"])));
        } else {
            assert!(support::server("founding", support::POSTGRES).is_none(), "a server, and no binaries of one");
        }
    });
}

/// The text of a file with each `from` as its `to`.
fn changed(file: &Path, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(std::fs::read_to_string(file).unwrap(), |text, (from, to)| {
        assert!(text.contains(from), "{} has no {from}", file.display());
        text.replace(from, to)
    })
}

impl Play {
    /// The answers file with some lines in another form.
    fn answers(&self, changes: &[(&str, &str)]) -> PathBuf {
        let path = self.state.path().join("answers.yaml");
        std::fs::write(&path, changed(&answers(), changes)).unwrap();
        path
    }

    /// Plays a copy of the runbook in which every `from` is a `to`.
    fn rewritten(mut self, changes: &[(&str, &str)]) -> Self {
        let copy = self.state.path().join("checkout-v2");
        std::fs::create_dir_all(copy.join("sql")).unwrap();
        let sql = std::fs::read_dir(self.folder.join("sql"))
            .unwrap()
            .map(|f| PathBuf::from("sql").join(f.unwrap().file_name()));
        for file in sql.chain(["scenario.yaml", "expectations.yaml"].map(PathBuf::from)) {
            std::fs::copy(self.folder.join(&file), copy.join(&file)).unwrap();
        }
        std::fs::write(copy.join("runbook.yaml"), changed(&self.folder.join("runbook.yaml"), changes)).unwrap();
        self.folder = copy;
        self
    }

    fn failed(&self, what: &str) -> String {
        let failures = self.failures();
        failures.iter().find(|f| f.starts_with(what)).unwrap_or_else(|| panic!("{what} holds: {failures:?}")).clone()
    }
}

#[test]
fn repair_with_the_straggler_alive_waits_for_it_by_name() {
    on_both(|play| {
        let output = play.rehearse(&play.answers(&[(STOP, SKIP)]), None);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("rename-back waits: checkout-v2 gone is red"), "{}", said(&output));
        assert!(said(&output).contains("check checkout-v2 gone: fail checkout-v2-canary-7d9f"), "{}", said(&output));
        assert!(!play.show().contains(" tx_open"), "the rename must not have begun");
        play.failed("the old code can take an order");
    });
}

/// The same by an author who forgot the need, and an operator who types whatever number is shown: the order that the
/// straggler wrote stands in the way of the end.
#[test]
fn repair_under_the_straggler_does_not_end_well() {
    let need = "    needs: [{ service: checkout-v2, gone: true, hard: true }]\n";
    let numbers = [(STOP, SKIP), (r#"token: "27""#, r#"token: "28""#), (r#"token: "340""#, r#"token: "341""#)];
    // Nor does it say what v2 uses: what breaks a program that lives is refused by itself.
    let uses = (", uses: [orders.payment_reference_id] }", " }");
    on_both(|play| {
        let play = play.rewritten(&[(need, ""), uses]);
        // Stopped before the orders are sorted, until the straggler has found the column and written.
        let halted = play.rehearse(&play.answers(&[(STOP, SKIP), ("\"2035\":", "\"0\":")]), None);
        assert_eq!(halted.status.code(), Some(4), "{}", said(&halted));
        let wrote = "v2 wrote no order after the rollback: 1, not 0";
        let began = Instant::now();
        while !play.failures().iter().any(|failure| failure == wrote) {
            assert!(began.elapsed() < Duration::from_secs(60), "{:?}", play.failures());
            std::thread::sleep(Duration::from_millis(200));
        }
        let output = play.resume(&play.answers(&numbers), None);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("hand-over waits: no-new-v2-orders is red"), "{}", said(&output));
        assert!(said(&output).contains("check no-new-v2-orders: fail 1"), "{}", said(&output));
        assert_eq!(play.failed("v2 wrote no order"), wrote);
    });
}

#[test]
fn a_step_of_never_is_refused_before_a_world_is_built() {
    let undo = "[kubectl, scale, deploy/loyalty, --replicas=0]\n    verify";
    let again = "[kubectl, rollout, undo, deploy/checkout]\n    verify";
    on_both(|play| {
        let play = play.rewritten(&[(undo, again)]);
        let output = play.rehearse(&answers(), None);
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        let words = "`pause-loyalty` does what `never` forbids: Deploy v2 again to make the errors stop";
        assert!(said(&output).contains(words), "{}", said(&output));
        assert!(play.sandbox().is_none());
    });
}

/// What it is shows only when it is rendered.
#[test]
fn a_step_that_turns_into_one_of_never_is_refused_at_its_gate() {
    let vars = "vars:\n  deployment: { type: text }\n  deployed_at";
    let again = r#"[kubectl, rollout, undo, "{{ deployment }}"]
    verify"#;
    let changes =
        [("vars:\n  deployed_at", vars), ("[kubectl, scale, deploy/loyalty, --replicas=0]\n    verify", again)];
    on_both(|play| {
        let play = play.rewritten(&changes);
        let answers = play.answers(&[("answers: 1", "answers: 1\nvars: { deployment: deploy/checkout }")]);
        let output = play.rehearse(&answers, None);
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        assert!(said(&output).contains("never: Deploy v2 again to make the errors stop"), "{}", said(&output));
        assert!(said(&output).contains("Each minute of v2 adds some fifteen orders"), "{}", said(&output));
        assert!(!play.show().contains("pause-loyalty      begins"), "{}", play.show());
    });
}

#[test]
fn a_wrong_token_changes_nothing() {
    on_both(|play| {
        let answers = play.answers(&[(r#"token: "orders@shop""#, r#"token: "orders@production""#)]);
        let output = play.rehearse(&answers, None);
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        assert!(!play.show().contains(" tx_open"), "{}", play.show());
        play.failed("the old code can take an order");
    });
}

#[test]
fn what_has_no_stand_in_is_refused_by_name_before_the_start() {
    let play = Play::on(&["--on", "sqlite"]).rewritten(&[
        ("command: [kubectl, set, image", "command: [helm, set, image"),
        ("undo: { command: [kubectl, rollout, undo, deploy/loyalty] }", "undo: { command: [./undo.sh] }"),
        ("command: [kubectl, get, deploy/loyalty", r#"command: ["{{ deployed_at }}", get, deploy/loyalty"#),
        ("bus: { kafka: \"${KAFKA_BROKERS}\" }", "bus: { kafka: \"kafka-1.example.com:9092\" }"),
        ("psp: { records: \"${PSP_EXPORT}\",", "status: { http: \"https://status.example.com\" }\n  crm: { http: \"${CRM_URL}\" }\n  psp: { records: \"${PSP_EXPORT}\","),
        (
            "manual:\n      what: \"Open",
            "http: { method: POST, url: \"https://hooks.example.com/done\" }\n  - id: looked\n    layer: service\n    manual:\n      what: \"Open",
        ),
    ]);
    let output = play.rehearse(&answers(), None);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for words in [
        "checkout-v2 cannot be rehearsed: nothing was started",
        "target bus: the sandbox does not supply its address",
        "target status: status.example.com is not the sandbox",
        "target crm: the sandbox does not supply its address",
        "step tolerant-loyalty: helm has no stand-in",
        "the undo of step tolerant-loyalty: ./undo.sh has no stand-in",
        "step hand-over: its request to hooks.example.com would leave this machine",
        "check loyalty-image: which program {{ deployed_at }} is, is known only when it runs",
        "the scenario has stand-ins for kubectl, psp",
    ] {
        assert!(said.contains(words), "it does not say {words:?}:\n{said}");
    }
    assert!(play.sandbox().is_none() && !play.dir().exists());
}
