//! `pintle status`.

use serde_json::Value;

use super::{
    client::AdminClient,
    exit::CliError,
    output::{Output, Paint, Table, count, text, time, words},
};

pub(crate) async fn run(client: &AdminClient, output: &Output) -> Result<(), CliError> {
    let status = client.get("/admin/api/status").await?;
    if output.json {
        return output.json(&status);
    }
    let nothing = Value::Null;
    let organisation = status.get("organisation").unwrap_or(&nothing);
    let config = status.get("config").unwrap_or(&nothing);
    let is_demo = status.get("demo").and_then(Value::as_bool) == Some(true);
    let demo = if is_demo { " (demonstration)" } else { "" };
    for (label, value) in [
        ("pintle", format!("{}, up since {} UTC", text(&status, "version"), time(&status, "started_at"))),
        (
            "organisation",
            format!(
                "{}{demo}, {}, {}",
                text(organisation, "name"),
                text(organisation, "currency"),
                text(organisation, "time_zone")
            ),
        ),
        ("listens on", text(&status, "listen")),
        ("data", text(&status, "data")),
        ("configuration", format!("{}, read {} UTC", text(config, "source"), time(config, "loaded_at"))),
        ("policies", text(&status, "policy_version")),
        ("backlog", format!("{} records to write", count(&status, "backlog"))),
    ] {
        output.line(&format!("{}  {value}", output.paint(&format!("{label:<13}"), Paint::Bold)))?;
    }
    if let Some(error) = config.get("last_error").and_then(Value::as_str) {
        output.note(&format!(
            "\nwarning: the configuration has changed and is wrong; the one before it still runs:\n{error}"
        ));
    }
    output.line("")?;
    let mut table = Table::new(&[
        words("PLACEMENT"),
        words("MODEL"),
        words("PROVIDER"),
        words("ZONE"),
        words("CLEARANCE"),
        words("PRICED"),
        words("HEALTH"),
    ]);
    for placement in status.get("placements").and_then(Value::as_array).into_iter().flatten() {
        table.row(
            ["name", "model", "provider", "zone", "clearance", "priced", "health"]
                .map(|field| text(placement, field)),
        );
    }
    output.table(&table, "no placements: no request can be answered")
}
