//! `backout draft`: steps to put into a runbook, as YAML. Read-only; writes nothing anywhere.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::draft::{self, Owned, Wish};
use crate::failure::{Failure, Kind, Result};
use crate::sql::shim::Form;
use crate::target::Targets;

use super::session::{Open, Session};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    open: Open,
    /// A step that renames a column or a table: the same with both names kept
    #[arg(long, value_name = "STEP", required_unless_present = "value", conflicts_with = "value")]
    shim: Option<String>,
    /// How both names are kept; left out, the first way that works
    #[arg(long = "as", value_name = "WAY", requires = "shim")]
    way: Option<Way>,
    /// A value of an enum that the old code does not know: its rows are moved
    #[arg(long, value_name = "TYPE.VALUE", requires = "to")]
    value: Option<String>,
    /// What the rows with the value become
    #[arg(long, value_name = "VALUE", requires = "value")]
    to: Option<String>,
    /// The database that has the enum, where there are several
    #[arg(long, value_name = "TARGET", requires = "value")]
    on: Option<String>,
    /// Also build the type anew without the value: for a quiet hour
    #[arg(long, requires = "value")]
    rebuild: bool,
    /// Whose what is left behind is
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// When it must be gone
    #[arg(long, value_name = "YYYY-MM-DD")]
    remove_by: Option<jiff::civil::Date>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Way {
    /// A second column and a trigger
    Column,
    /// A view over the table
    View,
}

pub async fn run(args: Args) -> Result<u8> {
    let session = Session::open(&args.open)?;
    let access = Arc::new(session.access("draft", Path::new("")));
    let runbook = Arc::new(session.runbook);
    let targets = Targets::new(runbook.clone(), access);
    let owned = Owned { owner: args.owner, remove_by: args.remove_by.map(|date| date.to_string()) };
    let text = match (args.shim, args.value, args.to) {
        (Some(step), ..) => {
            let form = args.way.map(|way| match way {
                Way::Column => Form::Column,
                Way::View => Form::View,
            });
            draft::shim(&runbook, &step, form, &owned, &targets).await?
        }
        (None, Some(value), Some(to)) => {
            let (type_name, value) = value.rsplit_once('.').ok_or_else(|| {
                Failure::new(Kind::Usage, format!("--value takes TYPE.VALUE, and {value} has no point"))
            })?;
            let (type_name, value) = (type_name.to_owned(), value.to_owned());
            let wish = Wish { on: args.on, type_name, value, to, rebuild: args.rebuild };
            draft::value(&runbook, &wish, &owned, &targets).await?
        }
        _ => return Err(Failure::new(Kind::Usage, "name a step (--shim) or a value (--value)")),
    };
    super::lint::quiet(io::stdout().lock().write_all(text.as_bytes()).map(|()| 0))
}
