//! `pintle budget`: show, set.

use http::Method;
use pintle_core::{Amount, Currency};
use serde_json::{Value, json};

use super::{
    args::BudgetCommand,
    client::AdminClient,
    exit::CliError,
    output::{Output, Table, amount, figures, money, text, time, words},
};

const ALL: &str = "/admin/api/budgets";

pub(crate) async fn run(
    command: BudgetCommand,
    client: &AdminClient,
    output: &Output,
) -> Result<(), CliError> {
    match command {
        BudgetCommand::Show => show(&client.get(ALL).await?, output),
        BudgetCommand::Set { scope, monthly } => {
            let monthly = monthly.0.map(|amount| amount.to_string());
            let body = json!({ "monthly": monthly });
            let answer = client.send(Method::PUT, &format!("{ALL}/{scope}"), Some(&body)).await?;
            if output.json {
                return output.json(&answer);
            }
            output.line(&match monthly {
                Some(_) => {
                    format!("the budget of {scope} is {} a month from now on", money(&answer, "monthly"))
                }
                None => format!("{scope} has no budget of its own any more"),
            })
        }
    }
}

fn show(budgets: &Value, output: &Output) -> Result<(), CliError> {
    if output.json {
        return output.json(budgets);
    }
    let mut table = Table::new(&[
        words("SCOPE"),
        figures("SPENT"),
        figures("HELD"),
        figures("BUDGET"),
        figures("LEFT"),
        figures("USED"),
        words("RENEWS (UTC)"),
        words("SET IN"),
    ]);
    for budget in budgets.as_array().into_iter().flatten() {
        let (left, used) = match room(budget) {
            Some((left, used, currency)) => (left.display(&currency), format!("{used}%")),
            None => ("-".to_owned(), "-".to_owned()),
        };
        table.row([
            text(budget, "scope"),
            money(budget, "posted"),
            money(budget, "held"),
            money(budget, "monthly"),
            left,
            used,
            time(budget, "period_end"),
            text(budget, "set_by"),
        ]);
    }
    output.table(&table, "no budgets; `pintle budget set organisation 1000` sets one")
}

/// What is left beyond what is spent and held, and how full the budget is.
fn room(budget: &Value) -> Option<(Amount, u32, Currency)> {
    let (monthly, currency) = budget.get("monthly").and_then(amount)?;
    let (posted, _) = budget.get("posted").and_then(amount)?;
    let (held, _) = budget.get("held").and_then(amount)?;
    let taken = posted.plus(held).ok()?;
    Some((monthly.minus(taken).ok()?, taken.percent_of(monthly)?, currency))
}
