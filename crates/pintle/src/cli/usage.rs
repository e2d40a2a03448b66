//! `pintle usage`: what was used, and what it cost.

use pintle_core::{Amount, Currency};
use serde_json::Value;

use super::{
    args::{GroupBy, UsageArgs},
    client::AdminClient,
    exit::CliError,
    output::{Output, Table, count, figures, text, words},
};

pub(crate) async fn run(args: &UsageArgs, client: &AdminClient, output: &Output) -> Result<(), CliError> {
    let (by, title) = match args.by {
        GroupBy::UseCase => ("use-case", "USE CASE"),
        GroupBy::Placement => ("placement", "PLACEMENT"),
        GroupBy::Day => ("day", "DAY"),
    };
    let mut path = format!("/admin/api/usage?by={by}");
    // Days and names have no character that needs escaping in a query.
    for (field, value) in [
        ("from", args.from.map(|day| day.to_string())),
        ("to", args.to.map(|day| day.to_string())),
        ("use_case", args.use_case.as_ref().map(ToString::to_string)),
    ] {
        if let Some(value) = value {
            path.push_str(&format!("&{field}={value}"));
        }
    }
    let usage = client.get(&path).await?;
    if output.json {
        return output.json(&usage);
    }
    let currency: Option<Currency> =
        usage.get("currency").and_then(Value::as_str).and_then(|code| code.parse().ok());
    let mut table = Table::new(&[
        words(title),
        figures("REQUESTS"),
        figures("INPUT"),
        figures("CACHED"),
        figures("OUTPUT"),
        figures("COST"),
        figures("UNPRICED"),
        figures("ESTIMATED"),
        figures("IN DOUBT"),
    ]);
    for row in usage.get("rows").and_then(Value::as_array).into_iter().flatten() {
        table.row([
            text(row, "group"),
            count(row, "requests"),
            count(row, "input_tokens"),
            count(row, "cached_tokens"),
            count(row, "output_tokens"),
            cost(row, currency.as_ref()),
            count(row, "unpriced_requests"),
            count(row, "estimated_requests"),
            count(row, "in_doubt_requests"),
        ]);
    }
    output.table(&table, "nothing was used in that time")
}

/// The known cost. Where every request was unpriced there is none, and none is not zero (I4).
fn cost(row: &Value, currency: Option<&Currency>) -> String {
    let number = |field: &str| row.get(field).and_then(Value::as_u64);
    let all_unpriced = number("requests").is_some() && number("requests") == number("unpriced_requests");
    if all_unpriced && number("requests") != Some(0) {
        return "unpriced".to_owned();
    }
    match (row.get("cost_nanos").and_then(Value::as_i64), currency) {
        (Some(nanos), Some(currency)) => Amount::from_nanos(nanos).display(currency),
        _ => "-".to_owned(),
    }
}
