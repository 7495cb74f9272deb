//! What a statement must be in its place.

use crate::sql::{self, Class, Dialect, Refused, Statement, Zone};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Query,
    Probe,
    Ddl,
    Change,
}

pub struct Wrong {
    pub message: String,
    pub help: Option<String>,
    pub refused: Option<Refused>,
}

impl Wrong {
    fn refused(refused: Refused) -> Self {
        let text = refused.to_string();
        // The reason ends where the advice begins, as everywhere in these messages.
        let split = match &refused {
            Refused::NotARead { kind, class } => {
                Some((format!("{kind} is not a read: it {class}"), "give it a step of its own".to_owned()))
            }
            Refused::Unparsable { .. } => {
                text.split_once(". Correct").map(|(message, help)| (message.to_owned(), format!("correct{help}")))
            }
            Refused::SideEffect { .. } => None,
            _ => text.split_once(": ").map(|(message, help)| (message.to_owned(), help.to_owned())),
        };
        let (message, help) = match split {
            Some((message, help)) => (message, Some(help)),
            None => (text, None),
        };
        Self { message, help, refused: Some(refused) }
    }

    fn new(message: String, help: &str) -> Self {
        Self { message, help: Some(help.to_owned()), refused: None }
    }
}

impl Role {
    pub fn judge(self, dialect: Dialect, text: &str) -> Result<Statement, Wrong> {
        let statement = sql::parse_one(dialect, text).map_err(Wrong::refused)?;
        let (kind, class) = (statement.kind, statement.class);
        if class == Class::Transaction {
            return Err(Wrong::new(
                format!("{kind} controls the transaction, and that is the engine's"),
                "remove it: every step has its own transaction",
            ));
        }
        match self {
            Self::Query => {
                sql::check_read_only(dialect, text).map_err(Wrong::refused)?;
            }
            Self::Probe if matches!(class, Class::Read | Class::Write) => {}
            Self::Probe => {
                return Err(Wrong::new(
                    format!("{kind} {class}: a probe reads and writes rows, as the code does that it stands for"),
                    "make it a step with `ddl`",
                ));
            }
            Self::Ddl if matches!(class, Class::Ddl | Class::Irreversible | Class::Utility) => {}
            Self::Ddl => {
                let help = match class {
                    Class::Write => "make it a `change`",
                    Class::Read => "make it a check with `query`",
                    _ => "leave settings to the target",
                };
                return Err(Wrong::new(format!("{kind} under `ddl` is no DDL: it {class}"), help));
            }
            Self::Change if class == Class::Write => {}
            Self::Change => {
                let help = match class {
                    Class::Read => "make it a check with `query`",
                    Class::Ddl | Class::Irreversible => {
                        "make it a `ddl`: its gate shows what it locks and what is lost"
                    }
                    _ => "a `change` is an INSERT, UPDATE or DELETE",
                };
                return Err(Wrong::new(format!("{kind} under `change` does not change rows: it {class}"), help));
            }
        }
        if self == Self::Ddl && concurrently_if_not_exists(dialect, text) {
            return Err(Wrong::new(
                "CONCURRENTLY with IF NOT EXISTS takes the invalid index of a failed attempt for the real one"
                    .to_owned(),
                "remove IF NOT EXISTS; drop the invalid index first",
            ));
        }
        Ok(statement)
    }

    /// What is legal and yet worth a second look.
    pub fn remarks(self, dialect: Dialect, text: &str, statement: &Statement) -> Vec<(String, &'static str)> {
        let mut remarks = Vec::new();
        if self == Self::Change && sql::is_relative_update(dialect, text).unwrap_or(false) {
            remarks.push((
                format!("{} computes a new value from the old one: twice is not once", statement.kind),
                "write the value itself, or join a frozen set that holds it",
            ));
        }
        if matches!(self, Self::Ddl | Self::Change) && !statement.calls.is_empty() {
            remarks.push((
                format!("nothing is known of what {} does", statement.calls.join(", ")),
                "say in `why` what it does",
            ));
        }
        remarks
    }
}

fn concurrently_if_not_exists(dialect: Dialect, text: &str) -> bool {
    let code: String = sql::zones(dialect, text)
        .into_iter()
        .map(|(range, zone)| if zone == Zone::Code { &text[range] } else { " " })
        .collect();
    let words = code.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ");
    words.contains("concurrently if not exists")
}
