//! The tables of migration tools on real databases, whose truth values and names differ.

use backout::check::schema::release::{Mark, Says, claim, claimed};
use backout::run::record::{Found, Position};
use backout::runbook::Recorded;
use backout::target::Handle;

use crate::shop::Shop;
use crate::support;

const RUN: &str = "run-claims00";

fn recorded(place: &str, value: &str) -> Recorded {
    let (table, column) = place.rsplit_once('.').unwrap();
    Recorded { table: table.into(), column: column.into(), value: value.into() }
}

async fn told_by(kind: &str, address: &str) {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "backout: 1\nname: shop\ntargets:\n  shop: {{ {kind}: \"${{SHOP}}\" }}\nsteps:\n  - {{ id: look, manual: Look }}\n"
    );
    let shop = Shop::beside(folder.path(), &text, address, RUN);
    let quote = |name: &str| if kind == "mysql" { format!("`{name}`") } else { format!("\"{name}\"") };
    let no = if kind == "sqlite" { "0" } else { "false" };
    for sql in [
        "CREATE TABLE flyway_schema_history (installed_rank int, version varchar(50), type varchar(20), success boolean)".to_owned(),
        format!("INSERT INTO flyway_schema_history VALUES (1, '41', 'SQL', 1 = 1), (2, '42', 'SQL', {no})"),
        "CREATE TABLE schema_migrations (version bigint, dirty boolean)".into(),
        "INSERT INTO schema_migrations VALUES (42, 1 = 1)".into(),
        "CREATE TABLE goose_db_version (id int, version_id bigint, is_applied boolean)".into(),
        format!("INSERT INTO goose_db_version VALUES (1, 42, 1 = 1), (2, 42, {no})"),
        format!("CREATE TABLE {} ({} varchar(150), {} varchar(32))", quote("__EFMigrationsHistory"), quote("MigrationId"), quote("ProductVersion")),
        format!("INSERT INTO {} VALUES ('20261124_Ref', '8.0')", quote("__EFMigrationsHistory")),
        "CREATE TABLE knex_migrations (id int, name varchar(255), batch int)".into(),
    ] {
        shop.sql(&sql).await;
    }
    let mut handle = shop.context.targets.dedicated("shop", "test").await.unwrap();
    let mut says = async |place: &str, value: &str| claimed(&recorded(place, value), &mut handle).await;
    assert!(matches!(says("flyway_schema_history.version", "41").await, Ok(Says::In(_))));
    assert!(matches!(says("flyway_schema_history.version", "42").await, Ok(Says::Stopped(_))));
    assert!(matches!(says("schema_migrations.version", "42").await, Ok(Says::Stopped(_))));
    assert!(matches!(says("goose_db_version.version_id", "42").await, Ok(Says::Out(_))));
    assert!(matches!(says("__EFMigrationsHistory.MigrationId", "20261124_Ref").await, Ok(Says::In(_))));
    assert!(matches!(says("knex_migrations.name", "20261124_ref.js").await, Ok(Says::Out(_))));
    // A name that is not there is no row that is not there.
    for place in ["knex_migrations.nmae", "knex.name"] {
        let none = says(place, "20261124_ref.js").await;
        assert!(none.is_err(), "{place}: {none:?}");
    }

    // Beside the catalog.
    let found = |position| vec![Found { position, because: "seen".into() }];
    for (place, value, position, mark) in [
        ("flyway_schema_history.version", "42", Position::NotDone, Mark::Stopped),
        ("flyway_schema_history.version", "41", Position::Done, Mark::Agrees),
        ("flyway_schema_history.version", "41", Position::NotDone, Mark::Disagrees),
        ("flyway_schema_history.version", "41", Position::Unknown, Mark::NotTold),
        ("flyway_schema_history.vrsion", "41", Position::Done, Mark::NotTold),
        ("goose_db_version.version_id", "42", Position::HalfDone, Mark::Disagrees),
    ] {
        let told = claim(&recorded(place, value), &found(position), &mut handle).await;
        assert_eq!(told.mark, mark, "{told:?}");
    }
}

#[tokio::test]
async fn on_postgres() {
    let Some(database) = support::postgres_database("claims") else { return };
    told_by("postgres", &database.url).await;

    // Who may not read it learns that, and not that it is empty.
    let (role, folder) = (support::unique("claims"), tempfile::tempdir().unwrap());
    let text =
        "backout: 1\nname: shop\ntargets:\n  shop: { postgres: \"${SHOP}\" }\nsteps:\n  - { id: look, manual: Look }\n";
    let shop = Shop::beside(folder.path(), text, &database.url, RUN);
    shop.sql(&format!("CREATE ROLE {role} NOLOGIN")).await;
    let mut handle: Handle = shop.context.targets.dedicated("shop", "test").await.unwrap();
    handle.run(format!("SET ROLE {role}"), vec![]).await.unwrap();
    let told = claim(&recorded("flyway_schema_history.version", "41"), &[], &mut handle).await;
    assert!(
        told.mark == Mark::NotTold && told.applied.is_none() && told.words.contains("permission denied"),
        "{told:?}"
    );
    drop(handle);
    shop.sql(&format!("DROP ROLE {role}")).await;
}

#[tokio::test]
async fn on_mysql() {
    let Some(database) = support::mysql_database("claims") else { return };
    told_by("mysql", &database.url).await;
}

#[tokio::test]
async fn on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    std::fs::write(&file, "").unwrap();
    told_by("sqlite", file.to_str().unwrap()).await;
}
