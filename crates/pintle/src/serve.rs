//! `pintle serve`: configuration → parts → server → drain. The one place that knows all crates.

use std::{
    collections::HashMap,
    io::IsTerminal,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use pintle_console::ConsoleParts;
use pintle_core::{Amount, Clock, Name, Secret, SystemClock};
use pintle_db::Database;
use pintle_gateway::{Gateway, GatewayParts, Limits, Settings, Unpriced};
use pintle_ledger::{Ledger, LedgerSettings, Scope};
use pintle_llm::LocalModel;
use pintle_model::ModelStore;
use pintle_registry::{Registry, Sessions, seed_demo};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cli::{CliError, ServeOptions},
    config::{self, Inputs, LoadedConfig},
    demo_model,
    greeting::{self, Greeting},
    models::House,
    own_models::Shelf,
    process::Running,
    server,
    tuning::{Desk, DeskParts},
};

/// How often the files are looked at for another version in production.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs the server until it is told to stop.
///
/// # Errors
/// When the configuration is wrong, or the operating system refuses what a server needs.
pub(crate) fn run(options: &ServeOptions) -> Result<ExitCode, CliError> {
    let config = config::load(&options.inputs)?;
    start_log();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("the async runtime cannot start", &error))?;
    runtime.block_on(serve(options, config))
}

async fn serve(options: &ServeOptions, config: LoadedConfig) -> Result<ExitCode, CliError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data = config.data_folder.clone();
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();

    let listener = server::listen(config.server.listen).await?;
    let listen = listener.local_addr().map_err(|error| failed("the listening address is unknown", &error))?;
    let database = Database::open(&data).await.map_err(|error| failed("cannot start", &error))?;
    pintle_registry::claim(&database, config.organisation.is_demo)
        .await
        .map_err(|error| failed("cannot start", &error))?;
    let (ledger, recovery) =
        Ledger::open(database.clone(), &data, ledger_settings(&config), Arc::clone(&clock))
            .await
            .map_err(|error| failed("the ledger cannot be opened", &error))?;
    if recovery.records > 0 || recovery.damaged_lines > 0 {
        tracing::warn!(
            records = recovery.records,
            in_doubt = recovery.in_doubt,
            damaged_lines = recovery.damaged_lines,
            "the last process did not end in order; what it left in the journal is in the ledger now"
        );
    }
    let registry = Registry::open(database.clone(), Arc::clone(&clock))
        .await
        .map_err(|error| failed("the register cannot be opened", &error))?;
    let registry = Arc::new(registry);
    if config.organisation.is_demo {
        fill_demo(&registry, &ledger).await?;
    }
    // Before anybody else may hold: what unfinished tuning jobs can cost is held first.
    let desk_parts = DeskParts { ledger: ledger.clone(), clock: Arc::clone(&clock), tasks: tasks.clone() };
    let desk = Desk::open(&config, desk_parts)
        .await
        .map_err(|error| failed("the folder of tuning jobs cannot be used", &error))?;
    let parts =
        GatewayParts { registry: Arc::clone(&registry), ledger: ledger.clone(), clock: Arc::clone(&clock) };
    if config.organisation.is_demo {
        demo_model::install(&ModelStore::new(&data), clock.now()).map_err(|error| {
            failed("the demonstration's model cannot be put into the data folder", &error)
        })?;
    }
    let house = Arc::new(House::new(&data, Arc::clone(&clock)));
    let gateway = Gateway::new(parts, gateway_settings(&config, house.look(&config.owns)))
        .map_err(|error| failed("a placement cannot be connected", &error))?;

    let sessions = Sessions::new(database.clone(), Arc::clone(&clock));
    let token = Registry::random_token("admin_").map_err(|error| failed("no admin token", &error))?;
    let running = Running::new(Arc::clone(&gateway), &config, listen, clock.now());
    let running = Arc::new(running.with_own_models(Arc::new(Shelf::new(&data, desk.clone()))));
    let public_url = running.public_url().to_owned();
    let console = pintle_console::router(ConsoleParts {
        registry: Arc::clone(&registry),
        ledger: ledger.clone(),
        sessions: sessions.clone(),
        process: Arc::clone(&running) as Arc<dyn pintle_console::Process>,
        clock: Arc::clone(&clock),
        admin_token: Secret::new(&token),
        public_url: public_url.clone(),
    });
    let tuning = pintle_gateway::tuning::router(Arc::clone(&gateway), Arc::new(desk.clone()));
    let app = pintle_gateway::router(gateway).merge(tuning).merge(console);

    let admin_listener = server::listen_for_admin(listen).await?;
    let admin_address = admin_listener.as_ref().and_then(|listener| listener.local_addr().ok());
    let link = sessions.new_setup_link().await.map_err(|error| failed("no set-up link", &error))?;
    let demo_key =
        if config.organisation.is_demo { Some(greeting::demo_key(&data, &registry).await?) } else { None };
    // Who finds this file finds a server that is ready, and everything else that it leaves for its users.
    greeting::write_admin_file(&data, admin_address.unwrap_or(listen), &token)?;
    let greeting = Greeting {
        url: &public_url,
        data: &data,
        source: &config.source.to_string(),
        setup_link: &format!("{public_url}/console/set-up?token={}", *link),
        demo_key: demo_key.as_deref().map(String::as_str),
    };
    greeting.show(options.json)?;

    // The ledger writes on while requests drain, and ends after them.
    let drained = CancellationToken::new();
    tasks.spawn({
        let (ledger, drained) = (ledger.clone(), drained.clone());
        async move { ledger.run(drained.cancelled()).await }
    });
    tasks.spawn({
        let (desk, stop) = (desk.clone(), stop.clone());
        async move { desk.run(stop).await }
    });
    tasks.spawn(follow_configuration(
        options.inputs.clone(),
        config,
        Arc::clone(&running),
        house,
        desk,
        ledger.clone(),
        stop.clone(),
    ));
    let listeners = std::iter::once(listener).chain(admin_listener).collect();
    server::run(listeners, app, &token, &stop, &tasks).await;
    drained.cancel();
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    greeting::remove_admin_file(&data);
    database.close().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Reads the configuration again when it changes. A bad one changes nothing and is shown.
async fn follow_configuration(
    inputs: Inputs,
    start: LoadedConfig,
    running: Arc<Running>,
    house: Arc<House>,
    desk: Desk,
    ledger: Ledger,
    stop: CancellationToken,
) {
    let current = Mutex::new(start.clone());
    let on_change = |reloaded: config::Reloaded| match reloaded {
        Ok(new) => {
            let Ok(mut current) = current.lock() else { return };
            for note in new.needs_restart(&current) {
                tracing::warn!("{note}");
            }
            let budget = organisation_budget(&new);
            let models = house.look(&new.owns);
            if let Err(error) = running.reload(&new, gateway_settings(&new, models)) {
                running.reload_failed(&error.to_string());
                return;
            }
            if let Err(error) = ledger.set_organisation_budget_by_file(budget) {
                tracing::error!(%error, "the organisation's budget was not changed");
            }
            desk.configure(&new);
            tracing::info!(source = %new.source, "the new configuration is in force");
            *current = new;
        }
        Err(error) => running.reload_failed(&error.to_string()),
    };
    let watched = config::watch(&inputs, &start, on_change);
    // Another version in production is taken over in the same way, within the same lock.
    let promoted = async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let owns = current.lock().map(|current| current.owns.clone()).unwrap_or_default();
            let outdated = {
                let house = Arc::clone(&house);
                tokio::task::spawn_blocking(move || house.is_outdated(&owns))
            };
            if !outdated.await.unwrap_or(false) {
                continue;
            }
            let Ok(owns) = current.lock().map(|current| current.owns.clone()) else { continue };
            let loaded = {
                let house = Arc::clone(&house);
                tokio::task::spawn_blocking(move || drop(house.look(&owns)))
            };
            if loaded.await.is_err() {
                continue;
            }
            // Loaded by now: this takes what is there, with the configuration that is in force at this moment.
            let Ok(config) = current.lock() else { continue };
            let models = house.look(&config.owns);
            if let Err(error) = running.take_models(gateway_settings(&config, models)) {
                tracing::error!(%error, "another version is not taken into service");
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = promoted => {}
        Err(error) = watched => tracing::error!(%error, "changes of the configuration are no longer noticed"),
    }
}

fn ledger_settings(config: &LoadedConfig) -> LedgerSettings {
    LedgerSettings {
        currency: config.organisation.currency.clone(),
        time_zone: config.organisation.time_zone.clone(),
        organisation_budget: organisation_budget(config),
    }
}

fn organisation_budget(config: &LoadedConfig) -> Option<(Amount, String)> {
    config.organisation_budget.map(|limit| {
        let place = config
            .explained
            .iter()
            .find(|row| row.key == "organisation.monthly_budget")
            .map_or_else(|| config.source.to_string(), |row| row.source.to_string());
        (limit, place)
    })
}

pub(crate) fn gateway_settings(
    config: &LoadedConfig,
    models: HashMap<Name, Arc<dyn LocalModel>>,
) -> Settings {
    let limits = &config.limits;
    let count = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
    Settings {
        organisation: config.organisation.clone(),
        placements: config.placements.clone(),
        models,
        policies: Arc::clone(&config.engine),
        guard: Arc::clone(&config.scanner),
        limits: Limits {
            body_mib: limits.body_mib.into(),
            request_deadline_s: limits.request_deadline_s.into(),
            concurrent_per_key: count(limits.concurrent_per_key),
            concurrent_total: count(limits.concurrent_total),
            max_output_tokens: limits.max_output_tokens.into(),
            retries: limits.retries,
            unpriced: match limits.unpriced {
                config::UnpricedRule::Refuse => Unpriced::Refuse,
                config::UnpricedRule::Flag => Unpriced::Flag,
            },
        },
    }
}

async fn fill_demo(registry: &Registry, ledger: &Ledger) -> Result<(), CliError> {
    let seeded =
        seed_demo(registry).await.map_err(|error| failed("the sample data cannot be written", &error))?;
    for (use_case, monthly) in seeded {
        let limit: Amount = monthly.parse().map_err(|error| failed("a sample budget", &error))?;
        ledger
            .set_budget(Scope::UseCase(use_case), Some(limit))
            .await
            .map_err(|error| failed("the sample data cannot be written", &error))?;
    }
    Ok(())
}

/// An error with its causes, as a command reports it.
pub(crate) fn failed(what: &'static str, error: &dyn std::error::Error) -> CliError {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        reason.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    CliError::System { what, reason }
}

/// Logs go to stderr; `PINTLE_LOG` takes the usual filters (`debug`, `pintle_gateway=trace`).
pub(crate) fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("PINTLE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,pintle=info"));
    let is_terminal = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal)
        .with_target(false)
        .try_init();
    // A second start within one process keeps the first one's log.
    drop(started);
}
