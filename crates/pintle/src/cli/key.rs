//! `pintle key`: create, list, rotate, revoke.

use http::Method;
use pintle_core::{Clock, SystemClock};
use serde_json::{Value, json};

use super::{
    api::{CreatedKey, NewKeyBody},
    args::KeyCommand,
    client::AdminClient,
    exit::CliError,
    output::{Output, Table, text, time, words},
    values::Period,
};

const ALL: &str = "/admin/api/keys";

pub(crate) async fn run(command: KeyCommand, client: &AdminClient, output: &Output) -> Result<(), CliError> {
    match command {
        KeyCommand::Create { use_case, label, expires_in } => {
            let expires_at = expires_in.map(end_of).transpose()?;
            let body = json!(NewKeyBody { use_case: use_case.as_str(), label: &label, expires_at });
            let made = client.send_for(Method::POST, ALL, Some(&body)).await?;
            let until =
                expires_at.map_or_else(|| "until it is revoked".to_owned(), |at| format!("until {at}"));
            hand_over(output, made, &format!("It works {until}."))
        }
        KeyCommand::List { use_case } => {
            let path = use_case.map_or_else(|| ALL.to_owned(), |name| format!("{ALL}?use_case={name}"));
            list(&client.get(&path).await?, output)
        }
        KeyCommand::Rotate { id, overlap } => {
            let body = overlap.map_or_else(|| json!({}), |period| json!({ "overlap_hours": period.hours() }));
            let made = client.send_for(Method::POST, &format!("{ALL}/{id}/rotate"), Some(&body)).await?;
            hand_over(
                output,
                made,
                &format!(
                    "It replaces {id}, which keeps working for a while: `pintle key list` shows until when."
                ),
            )
        }
        KeyCommand::Revoke { id } => {
            let answer = client.send(Method::POST, &format!("{ALL}/{id}/revoke"), None).await?;
            if output.json { output.json(&answer) } else { output.line(&format!("revoked {id}")) }
        }
    }
}

fn end_of(period: Period) -> Result<jiff::Timestamp, CliError> {
    period.after(SystemClock.now()).ok_or_else(|| CliError::Usage {
        message: "the key would outlive the calendar".to_owned(),
        hint: "use a shorter period".to_owned(),
    })
}

/// The key alone on stdout, so that `$(pintle key create …)` is the key.
fn hand_over(output: &Output, made: (CreatedKey, Value), remark: &str) -> Result<(), CliError> {
    let (key, whole) = made;
    if output.json {
        return output.json(&whole);
    }
    output.note(&format!(
        "{} for use case `{}`. {remark}\nThe key is shown this once; Pintle keeps only its hash.",
        key.id, key.use_case
    ));
    output.line(&key.key)
}

fn list(keys: &Value, output: &Output) -> Result<(), CliError> {
    if output.json {
        return output.json(keys);
    }
    let mut table = Table::new(&[
        words("ID"),
        words("USE CASE"),
        words("LABEL"),
        words("KEY"),
        words("STATE"),
        words("CREATED (UTC)"),
        words("ENDS (UTC)"),
    ]);
    for key in keys.as_array().into_iter().flatten() {
        table.row([
            text(key, "id"),
            text(key, "use_case"),
            text(key, "label"),
            format!("{}…", text(key, "prefix")),
            text(key, "state"),
            time(key, "created_at"),
            time(key, "expires_at"),
        ]);
    }
    output.table(&table, "no keys; `pintle key create --use-case NAME` makes one")
}
