//! `pintle usecase`: list, show, create, edit, stage.

use http::Method;
use pintle_core::Name;
use serde_json::{Map, Value, json};

use super::{
    args::{CreateArgs, DraftArgs, EditArgs, UsecaseCommand},
    client::AdminClient,
    exit::CliError,
    output::{Output, Paint, Table, money, text, time, words},
};

const ALL: &str = "/admin/api/use-cases";

pub(crate) async fn run(
    command: UsecaseCommand,
    client: &AdminClient,
    output: &Output,
) -> Result<(), CliError> {
    match command {
        UsecaseCommand::List => list(client, output).await,
        UsecaseCommand::Show { name } => {
            let use_case = client.get(&one(&name)).await?;
            if output.json { output.json(&use_case) } else { show(&use_case, output) }
        }
        UsecaseCommand::Create(args) => {
            let created = client.send(Method::POST, ALL, Some(&create_body(&args))).await?;
            done(
                output,
                &created,
                &format!("created use case `{}` at stage {}", args.name, text(&created, "stage")),
            )
        }
        UsecaseCommand::Edit(args) => {
            let body = edit_body(&args);
            if body.as_object().is_some_and(Map::is_empty) {
                return Err(CliError::Usage {
                    message: "nothing to change".to_owned(),
                    hint:
                        "say what, such as `--title \"Support assistant\"`; see `pintle usecase edit --help`"
                            .to_owned(),
                });
            }
            let changed = client.send(Method::PATCH, &one(&args.name), Some(&body)).await?;
            done(output, &changed, &format!("changed use case `{}`", args.name))
        }
        UsecaseCommand::Stage { name, stage } => {
            let path = format!("{}/stage", one(&name));
            let changed = client.send(Method::POST, &path, Some(&json!({ "stage": stage }))).await?;
            done(output, &changed, &format!("use case `{name}` is now at stage {stage}"))
        }
    }
}

/// A name's characters need no escaping in a path.
fn one(name: &Name) -> String {
    format!("{ALL}/{name}")
}

fn done(output: &Output, value: &Value, sentence: &str) -> Result<(), CliError> {
    if output.json { output.json(value) } else { output.line(sentence) }
}

async fn list(client: &AdminClient, output: &Output) -> Result<(), CliError> {
    let use_cases = client.get(ALL).await?;
    if output.json {
        return output.json(&use_cases);
    }
    let mut table = Table::new(&[
        words("NAME"),
        words("TITLE"),
        words("STAGE"),
        words("CLASS"),
        words("BUSINESS OWNER"),
        words("IT OWNER"),
        words("COST CENTRE"),
    ]);
    for use_case in use_cases.as_array().into_iter().flatten() {
        table.row([
            text(use_case, "name"),
            text(use_case, "title"),
            text(use_case, "stage"),
            text(use_case, "data_class"),
            person(use_case, "business_owner"),
            person(use_case, "it_owner"),
            text(use_case, "cost_centre"),
        ]);
    }
    output.table(&table, "no use cases yet; `pintle usecase create --help` shows how to write one down")
}

fn show(use_case: &Value, output: &Output) -> Result<(), CliError> {
    let rows = [
        ("name", text(use_case, "name")),
        ("title", text(use_case, "title")),
        ("purpose", text(use_case, "purpose")),
        ("stage", text(use_case, "stage")),
        ("data class", text(use_case, "data_class")),
        ("risk tier", text(use_case, "risk_tier")),
        ("business owner", person(use_case, "business_owner")),
        ("IT owner", person(use_case, "it_owner")),
        ("deputy", person(use_case, "deputy")),
        ("cost centre", text(use_case, "cost_centre")),
        ("monthly budget", budget(use_case)),
        ("transformations", text(use_case, "transformations")),
        ("objective", text(use_case, "objective")),
        ("baseline", text(use_case, "baseline")),
        ("value hypothesis", text(use_case, "value_hypothesis")),
        ("review on", text(use_case, "review_on")),
        ("kill criterion", text(use_case, "kill_criterion")),
        ("updated (UTC)", time(use_case, "updated_at")),
    ];
    for (label, value) in rows {
        output.line(&format!("{}  {value}", output.paint(&format!("{label:<16}"), Paint::Bold)))?;
    }
    Ok(())
}

/// `€100.00 (€12.30 spent, €0.02 held)`.
fn budget(use_case: &Value) -> String {
    match use_case.get("budget") {
        Some(budget) => {
            let (posted, held) = (money(budget, "posted"), money(budget, "held"));
            format!("{} ({posted} spent, {held} held)", money(budget, "monthly"))
        }
        None => "-".to_owned(),
    }
}

fn person(use_case: &Value, field: &str) -> String {
    match use_case.get(field) {
        Some(owner) if owner.is_object() => format!("{} <{}>", text(owner, "name"), text(owner, "email")),
        _ => "-".to_owned(),
    }
}

fn create_body(args: &CreateArgs) -> Value {
    let mut body = Map::new();
    let mut set = |field: &str, value: Value| body.insert(field.to_owned(), value);
    set("name", json!(args.name));
    set("title", json!(args.title));
    set("business_owner", json!(args.business_owner));
    set("it_owner", json!(args.it_owner));
    set("cost_centre", json!(args.cost_centre));
    set("data_class", json!(args.data_class));
    if let Some(stage) = args.stage {
        set("stage", json!(stage));
    }
    if let Some(budget) = args.budget {
        set("monthly_budget", json!(budget.to_string()));
    }
    add_draft(&mut body, &args.more);
    Value::Object(body)
}

fn edit_body(args: &EditArgs) -> Value {
    let mut body = Map::new();
    let fields = [
        ("title", args.title.as_ref().map(|value| json!(value))),
        ("business_owner", args.business_owner.as_ref().map(|value| json!(value))),
        ("it_owner", args.it_owner.as_ref().map(|value| json!(value))),
        ("cost_centre", args.cost_centre.as_ref().map(|value| json!(value))),
        ("data_class", args.data_class.map(|value| json!(value))),
    ];
    for (field, value) in fields {
        if let Some(value) = value {
            body.insert(field.to_owned(), value);
        }
    }
    add_draft(&mut body, &args.more);
    Value::Object(body)
}

/// Only what was given: the server has the defaults.
fn add_draft(body: &mut Map<String, Value>, args: &DraftArgs) {
    let transformations = (!args.transformations.is_empty()).then(|| json!(args.transformations));
    let fields = [
        ("purpose", args.purpose.as_ref().map(|value| json!(value))),
        ("deputy", args.deputy.as_ref().map(|value| json!(value))),
        ("risk_tier", args.risk_tier.map(|value| json!(value))),
        ("transformations", transformations),
        ("objective", args.objective.map(|value| json!(value))),
        ("baseline", args.baseline.as_ref().map(|value| json!(value))),
        ("value_hypothesis", args.value_hypothesis.as_ref().map(|value| json!(value))),
        ("review_on", args.review_on.map(|value| json!(value.to_string()))),
        ("kill_criterion", args.kill_criterion.as_ref().map(|value| json!(value))),
    ];
    for (field, value) in fields {
        if let Some(value) = value {
            body.insert(field.to_owned(), value);
        }
    }
}
