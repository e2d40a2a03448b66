//! `pintle ban`: add, list, lift.

use std::collections::BTreeSet;

use http::Method;
use pintle_core::{Clock, SystemClock};
use pintle_registry::{BanTarget, NewBan};
use serde_json::{Value, json};

use super::{
    args::{BanArgs, BanCommand},
    client::AdminClient,
    exit::CliError,
    output::{Output, Table, text, time, words},
    values::Moment,
};

const ALL: &str = "/admin/api/bans";

pub(crate) async fn run(command: BanCommand, client: &AdminClient, output: &Output) -> Result<(), CliError> {
    match command {
        BanCommand::Add(args) => add(args, client, output).await,
        BanCommand::List => list(&client.get(ALL).await?, output),
        BanCommand::Lift { id } => {
            let answer = client.send(Method::POST, &format!("{ALL}/{id}/lift"), None).await?;
            if output.json { output.json(&answer) } else { output.line(&format!("lifted {id}")) }
        }
    }
}

async fn add(args: BanArgs, client: &AdminClient, output: &Output) -> Result<(), CliError> {
    let now = SystemClock.now();
    let when = |moment: Moment| {
        moment.at(now).ok_or_else(|| CliError::Usage {
            message: "that time lies beyond the calendar".to_owned(),
            hint: "use a shorter period".to_owned(),
        })
    };
    let starts_at = args.from.map(when).transpose()?;
    let ends_at = when(args.until)?;
    if ends_at <= starts_at.unwrap_or(now) {
        return Err(CliError::Usage {
            message: "the ban would end before it begins".to_owned(),
            hint: "give `--until` a later time".to_owned(),
        });
    }
    if !args.anyway {
        is_configured(&args.target, &client.get("/admin/api/status").await?)?;
    }
    let ban = NewBan {
        target: args.target,
        use_case: args.use_case,
        reason: args.reason,
        owner: args.owner,
        starts_at,
        ends_at,
        exceptions: args.exceptions.into_iter().collect(),
    };
    let made = client.send(Method::POST, ALL, Some(&json!(ban))).await?;
    if output.json {
        return output.json(&made);
    }
    output.line(&format!("{}: banned {} until {}", text(&made, "id"), ban.target, ban.ends_at))
}

/// A ban that stops nothing is mostly a slip of the finger, and whoever typed it believes to be safe.
fn is_configured(target: &BanTarget, status: &Value) -> Result<(), CliError> {
    // Placements are known by name, models and providers by the field of the same word.
    let field = match target {
        BanTarget::Placement(_) => "name",
        BanTarget::Model(_) | BanTarget::Provider(_) => target.kind(),
    };
    let placements = status.get("placements").and_then(Value::as_array).into_iter().flatten();
    let known: BTreeSet<&str> =
        placements.filter_map(|placement| placement.get(field).and_then(Value::as_str)).collect();
    if known.contains(target.name()) {
        return Ok(());
    }
    let kind = target.kind();
    let known: Vec<String> = known.into_iter().map(|name| format!("`{kind}:{name}`")).collect();
    let there = match known.as_slice() {
        [] => "no placement is configured".to_owned(),
        [only] => format!("there is only {only}"),
        several => format!("there are {}", several.join(", ")),
    };
    Err(CliError::NotFound {
        message: format!("no {kind} `{}` is configured, so the ban would stop nothing", target.name()),
        hint: format!("{there}; `--anyway` bans what is not configured yet"),
    })
}

fn list(bans: &Value, output: &Output) -> Result<(), CliError> {
    if output.json {
        return output.json(bans);
    }
    let mut table = Table::new(&[
        words("ID"),
        words("STATE"),
        words("TARGET"),
        words("FOR"),
        words("EXCEPT"),
        words("FROM (UTC)"),
        words("UNTIL (UTC)"),
        words("REASON"),
        words("OWNER"),
    ]);
    for ban in bans.as_array().into_iter().flatten() {
        let whom = match ban.get("use_case").and_then(Value::as_str) {
            Some(name) => name.to_owned(),
            None => "all".to_owned(),
        };
        table.row([
            text(ban, "id"),
            text(ban, "state"),
            text(ban, "target"),
            whom,
            text(ban, "exceptions"),
            time(ban, "starts_at"),
            time(ban, "ends_at"),
            text(ban, "reason"),
            text(ban, "owner"),
        ]);
    }
    output.table(&table, "nothing is banned")
}
