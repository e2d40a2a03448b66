//! The command line as a type: what can be said, and the help that explains it. Nouns, then verbs.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::civil::Date;
use pintle_core::{Amount, BanId, DataClass, KeyId, Name, Stage, Transformation};
use pintle_registry::{BanTarget, Objective, Owner, RiskTier};

use super::values::{Budget, Moment, Period, Scope};

/// The control plane between a business and every generative-AI model.
///
/// Without a command, pintle serves: with the configuration in ./pintle.toml, or, when there is none, as a
/// demonstration with a sample organisation, simulated cloud models and a small model of its own.
#[derive(Debug, Parser)]
#[command(
    name = "pintle",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "Environment: PINTLE_CONFIG, PINTLE_DATA and PINTLE_LISTEN stand for the flags; a flag wins. \
                  PINTLE_PUBLIC_URL is the address that people see in links, PINTLE_LOG what is logged, such \
                  as debug.\n\
                  Exit codes: 0 ok, 1 failure, 2 usage, 3 configuration, 4 not authorised, 5 not found, \
                  6 conflict, 7 no server.\n\n\
                  Examples:\n  pintle                       the demonstration, or ./pintle.toml\n  \
                  pintle init                  write a configuration to start from\n  \
                  pintle serve --data /var/lib/pintle --config /etc/pintle/pintle.toml"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Accepted before and after the command.
#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// The data folder [default: ./pintle-data, or PINTLE_DATA]
    #[arg(long, value_name = "DIR", global = true, help_heading = "Global options")]
    pub(crate) data: Option<PathBuf>,
    /// The configuration file [default: ./pintle.toml if it is there, or PINTLE_CONFIG]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Global options")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
}

#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    /// The address to listen on, such as 127.0.0.1:7411 [default: the configuration's, or PINTLE_LISTEN]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// Serve the demonstration, even if there is a configuration file; on loopback only
    #[arg(long, conflicts_with = "config")]
    pub(crate) demo: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server (what pintle does without a command)
    #[command(
        after_help = "Example:\n  pintle serve --data /var/lib/pintle --config /etc/pintle/pintle.toml"
    )]
    Serve(ServeArgs),
    /// Write a commented pintle.toml to start from
    #[command(after_help = "Example:\n  pintle init\n  pintle init /etc/pintle/pintle.toml")]
    Init(InitArgs),
    /// Check what the server needs: data folder, clock, configuration, models' endpoints
    #[command(after_help = "Example:\n  pintle doctor --config /etc/pintle/pintle.toml")]
    Doctor,
    /// Show whether the server runs, and with what
    #[command(after_help = "Example:\n  pintle status --json")]
    Status,
    /// Print a one-time link to sign in to the console with
    #[command(
        after_help = "The link works once, for 15 minutes, on the server's own machine. It alone goes to standard \
                      output.\n\nExample:\n  pintle setup-link"
    )]
    SetupLink,
    /// Check and explain the configuration
    #[command(subcommand, after_help = "Example:\n  pintle config check pintle.toml")]
    Config(ConfigCommand),
    /// Use cases: who uses models for what, and who answers for it
    #[command(subcommand, after_help = "Example:\n  pintle usecase list")]
    Usecase(UsecaseCommand),
    /// Keys: what applications identify themselves with
    #[command(subcommand, after_help = "Example:\n  pintle key create --use-case support-assistant")]
    Key(KeyCommand),
    /// Monthly budgets of the organisation and of use cases
    #[command(subcommand, after_help = "Example:\n  pintle budget show")]
    Budget(BudgetCommand),
    /// Bans: stop a placement, model or provider for a while
    #[command(subcommand, after_help = "Example:\n  pintle ban list")]
    Ban(BanCommand),
    /// What was used, and what it cost
    #[command(after_help = "Days are those of the organisation's time zone.\n\n\
                      Example:\n  pintle usage --by placement --from 2026-11-01 --to 2026-11-30")]
    Usage(UsageArgs),
    /// Own models: train, evaluate, promote and export them
    #[command(
        subcommand,
        after_help = "Training needs no server and no network.\n\nExample:\n  pintle model init\n  \
                      pintle model train recipe.toml\n  pintle model promote handbook@1 --reason \"answers 85 % of \
                      the questions\""
    )]
    Model(ModelCommand),
    /// The demonstration's own model
    #[command(subcommand, after_help = "Example:\n  pintle demo train")]
    Demo(DemoCommand),
    /// Policies: test, list and export them
    #[command(subcommand, after_help = "Example:\n  pintle policy test decisions.toml")]
    Policy(PolicyCommand),
    /// The process that carries out one tuning job; the server starts it
    #[command(hide = true)]
    TuneWorker {
        /// The job's folder
        job: PathBuf,
        /// With the demonstration's configuration
        #[arg(long)]
        demo: bool,
    },
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  pintle completions bash > ~/.local/share/bash-completion/completions/pintle"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Write a commented recipe to start from
    #[command(after_help = "Example:\n  pintle model init\n  pintle model init models/handbook.toml")]
    Init {
        /// Where to write it
        #[arg(default_value = "recipe.toml")]
        path: PathBuf,
    },
    /// Train a model by a recipe, from documents to an evaluated version
    #[command(
        after_help = "Stopped with Ctrl-C, or killed, the same command goes on where it was. The version that comes of it \
                      is a candidate until somebody promotes it.\n\nExample:\n  pintle model train recipe.toml"
    )]
    Train {
        /// The recipe
        recipe: PathBuf,
        /// Begin anew, even if a run of this model can be gone on with
        #[arg(long)]
        fresh: bool,
    },
    /// List models and their versions
    #[command(after_help = "Example:\n  pintle model list --json")]
    List,
    /// Show what a version was made of and how it was measured
    #[command(after_help = "Example:\n  pintle model show handbook@2")]
    Show {
        /// Model and number
        version: String,
    },
    /// Put a version into production: a running server changes over within seconds
    #[command(
        after_help = "Going back is promoting an earlier version.\n\nExample:\n  pintle model promote handbook@2 --reason \
                      \"answers 85 % of the questions\""
    )]
    Promote {
        /// Model and number
        version: String,
        /// Why, for those who ask later
        #[arg(long)]
        reason: String,
        /// Who decides [default: the user of this machine]
        #[arg(long)]
        by: Option<String>,
    },
    /// Write a version as one GGUF file, for llama.cpp and what is built on it
    #[command(after_help = "Example:\n  pintle model export handbook@2 handbook.gguf")]
    Export {
        /// Model and number
        version: String,
        /// The file
        path: PathBuf,
        /// Half precision: half as large
        #[arg(long)]
        f16: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DemoCommand {
    /// Write the sample organisation's handbook, train a model on it, and put it into production
    #[command(
        after_help = "Takes about a quarter of an hour on two cores. A running demonstration answers with the new version \
                      as soon as it is there.\n\nExample:\n  pintle demo train"
    )]
    Train,
    /// Write the sample organisation's handbook, and questions about it, into a folder
    #[command(after_help = "Example:\n  pintle demo handbook handbook")]
    Handbook {
        /// The folder
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where to write it: a file or a folder
    #[arg(default_value = "pintle.toml")]
    pub(crate) path: PathBuf,
    /// Overwrite a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether the configuration is right, and all that is wrong in one go
    #[command(
        after_help = "Exit code 3 when something is wrong.\n\nExample:\n  pintle config check /etc/pintle/pintle.toml\n  \
                            pintle config check --skip-secrets pintle.toml    in a pipeline that has no secrets"
    )]
    Check {
        /// The file [default: as for serve]
        file: Option<PathBuf>,
        /// Don't look for the secrets that the file refers to
        #[arg(long)]
        skip_secrets: bool,
    },
    /// Print each value with where it comes from
    #[command(
        after_help = "Precedence: flag > environment > file > default.\n\nExample:\n  PINTLE_LISTEN=127.0.0.1:8080 pintle config explain"
    )]
    Explain {
        /// The file [default: as for serve]
        file: Option<PathBuf>,
    },
    /// Print the JSON Schema of pintle.toml, for editors
    #[command(after_help = "Example:\n  pintle config schema > pintle.schema.json")]
    Schema,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsecaseCommand {
    /// List the use cases
    #[command(after_help = "Example:\n  pintle usecase list --json")]
    List,
    /// Show one use case
    #[command(after_help = "Example:\n  pintle usecase show support-assistant")]
    Show {
        /// Its short name
        name: Name,
    },
    /// Write down a use case
    #[command(
        after_help = "Example:\n  pintle usecase create support-assistant --title \"Support assistant\" \\\n    \
                      --business-owner \"Jana Novak <jana.novak@example.com>\" \\\n    \
                      --it-owner \"Ali Demir <ali.demir@example.com>\" --cost-centre CC-4711 \\\n    \
                      --data-class confidential --transformation pseudonymise --stage pilot --budget 100"
    )]
    Create(Box<CreateArgs>),
    /// Change what is written down about a use case
    #[command(
        after_help = "Only what is given changes.\n\nExample:\n  pintle usecase edit support-assistant --review-on 2027-03-31"
    )]
    Edit(Box<EditArgs>),
    /// Move a use case to another stage of its life
    #[command(after_help = "Example:\n  pintle usecase stage support-assistant production")]
    Stage {
        /// Its short name
        name: Name,
        /// The stage: idea, pilot, approved, production, review or retired
        stage: Stage,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Its short name: lowercase letters, digits, `-`, `_` and `.`
    pub(crate) name: Name,
    /// What pages call it
    #[arg(long)]
    pub(crate) title: String,
    /// Who in the business needs it: "Name <address>"
    #[arg(long, value_name = "PERSON")]
    pub(crate) business_owner: Owner,
    /// Who in IT keeps it running and safe: "Name <address>"
    #[arg(long, value_name = "PERSON")]
    pub(crate) it_owner: Owner,
    /// Who pays
    #[arg(long, value_name = "NAME")]
    pub(crate) cost_centre: String,
    /// The highest class it is meant for: public, internal, confidential or restricted
    #[arg(long, value_name = "CLASS", default_value = "internal")]
    pub(crate) data_class: DataClass,
    /// The stage it starts at: idea, pilot, approved or production [default: idea]
    #[arg(long)]
    pub(crate) stage: Option<Stage>,
    /// Its budget per calendar month, such as 100 or 99.50
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) budget: Option<Amount>,
    #[command(flatten)]
    pub(crate) more: DraftArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// Its short name
    pub(crate) name: Name,
    /// What pages call it
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// Who in the business needs it: "Name <address>"
    #[arg(long, value_name = "PERSON")]
    pub(crate) business_owner: Option<Owner>,
    /// Who in IT keeps it running and safe: "Name <address>"
    #[arg(long, value_name = "PERSON")]
    pub(crate) it_owner: Option<Owner>,
    /// Who pays
    #[arg(long, value_name = "NAME")]
    pub(crate) cost_centre: Option<String>,
    /// The highest class it is meant for: public, internal, confidential or restricted
    #[arg(long, value_name = "CLASS")]
    pub(crate) data_class: Option<DataClass>,
    #[command(flatten)]
    pub(crate) more: DraftArgs,
}

/// What creating and editing have in common.
#[derive(Debug, Default, Args)]
pub(crate) struct DraftArgs {
    /// What it is for, in a sentence or three
    #[arg(long, value_name = "TEXT")]
    pub(crate) purpose: Option<String>,
    /// Who steps in when an owner is away: "Name <address>"
    #[arg(long, value_name = "PERSON")]
    pub(crate) deputy: Option<Owner>,
    /// How much harm a wrong answer could do: minimal, limited or high
    #[arg(long, value_name = "TIER")]
    pub(crate) risk_tier: Option<RiskTier>,
    /// What may be done to content so that it can go further: pseudonymise or mask; may be repeated
    #[arg(long = "transformation", value_name = "NAME")]
    pub(crate) transformations: Vec<Transformation>,
    /// What to look for in a placement: cost, latency or on_premises
    #[arg(long)]
    pub(crate) objective: Option<Objective>,
    /// How the work was done before, and how long it took
    #[arg(long, value_name = "TEXT")]
    pub(crate) baseline: Option<String>,
    /// What it should be worth
    #[arg(long, value_name = "TEXT")]
    pub(crate) value_hypothesis: Option<String>,
    /// When it is looked at again: 2027-03-31
    #[arg(long, value_name = "DATE")]
    pub(crate) review_on: Option<Date>,
    /// What would end it
    #[arg(long, value_name = "TEXT")]
    pub(crate) kill_criterion: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key and print it; it is shown this once
    #[command(
        after_help = "The key alone goes to standard output, what is said about it to standard error.\n\n\
                            Example:\n  export OPENAI_API_KEY=$(pintle key create --use-case support-assistant --expires-in 90d)"
    )]
    Create {
        /// The use case whose requests it makes
        #[arg(long, value_name = "NAME")]
        use_case: Name,
        /// What to call it, to tell it from others
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        label: String,
        /// When it stops by itself: 12h, 90d or 4w
        #[arg(long, value_name = "PERIOD")]
        expires_in: Option<Period>,
    },
    /// List keys, by their first characters
    #[command(after_help = "Example:\n  pintle key list --use-case support-assistant")]
    List {
        /// Only those of this use case
        #[arg(long, value_name = "NAME")]
        use_case: Option<Name>,
    },
    /// Make a key that replaces another, which keeps working for a while
    #[command(
        after_help = "Example:\n  pintle key rotate key_0193f2c4a1b27c3d8e4f5a6b7c8d9e0f --overlap 24h"
    )]
    Rotate {
        /// The id of the key to replace
        id: KeyId,
        /// How long the old one keeps working: 24h or 7d [default: the server's]
        #[arg(long, value_name = "PERIOD")]
        overlap: Option<Period>,
    },
    /// Stop a key now
    #[command(after_help = "Example:\n  pintle key revoke key_0193f2c4a1b27c3d8e4f5a6b7c8d9e0f")]
    Revoke {
        /// The key's id
        id: KeyId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BudgetCommand {
    /// Show each budget: how much is spent, held and left, and when it renews
    #[command(after_help = "Example:\n  pintle budget show --json")]
    Show,
    /// Set a monthly budget, or remove it
    #[command(after_help = "Example:\n  pintle budget set organisation 5000\n  \
                            pintle budget set use_case:support-assistant 100\n  \
                            pintle budget set use_case:support-assistant none")]
    Set {
        /// `organisation`, or `use_case:NAME`
        scope: Scope,
        /// The amount per calendar month in the organisation's currency, or `none`
        monthly: Budget,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BanCommand {
    /// Ban a placement, a model or a provider until a date
    #[command(
        after_help = "Example:\n  pintle ban add provider:openai --reason \"incident 2026-114\" \\\n    \
                            --owner \"IT security <security@example.com>\" --until 2026-12-01T08:00:00Z"
    )]
    Add(BanArgs),
    /// List the bans
    #[command(after_help = "Example:\n  pintle ban list")]
    List,
    /// End a ban before its time
    #[command(after_help = "Example:\n  pintle ban lift ban_0193f2c4a1b27c3d8e4f5a6b7c8d9e0f")]
    Lift {
        /// The ban's id
        id: BanId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct BanArgs {
    /// `placement:NAME`, `model:NAME` or `provider:NAME`
    pub(crate) target: BanTarget,
    /// Why; people who are stopped read it
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Whom to ask
    #[arg(long, value_name = "TEXT")]
    pub(crate) owner: String,
    /// When it ends: a period from now (8h, 7d, 2w) or a time (2026-12-01T08:00:00Z)
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Moment,
    /// When it begins [default: now]
    #[arg(long, value_name = "WHEN")]
    pub(crate) from: Option<Moment>,
    /// For this use case only
    #[arg(long, value_name = "NAME")]
    pub(crate) use_case: Option<Name>,
    /// A use case that it spares; may be repeated
    #[arg(long = "except", value_name = "NAME", conflicts_with = "use_case")]
    pub(crate) exceptions: Vec<Name>,
    /// Also when no placement is configured that it would stop
    #[arg(long)]
    pub(crate) anyway: bool,
}

/// What usage is added up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupBy {
    /// Whose it was
    UseCase,
    /// Where it went
    Placement,
    /// When it was
    Day,
}

#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// What to add up by
    #[arg(long, value_name = "WHAT", default_value = "use-case")]
    pub(crate) by: GroupBy,
    /// The first day, such as 2026-11-01 [default: the beginning of the records]
    #[arg(long, value_name = "DAY")]
    pub(crate) from: Option<Date>,
    /// The last day, which counts in [default: today]
    #[arg(long, value_name = "DAY")]
    pub(crate) to: Option<Date>,
    /// Only this use case
    #[arg(long, value_name = "NAME")]
    pub(crate) use_case: Option<Name>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Run decision tables against the policies of the configuration
    #[command(
        after_help = "Needs no server. Exit code 1 when a case fails.\n\nExample:\n  pintle policy test decisions.toml"
    )]
    Test {
        /// Files of cases [default: the table that comes with the built-in policies]
        files: Vec<PathBuf>,
    },
    /// List the rules that the configuration's policies contain
    #[command(after_help = "Needs no server.\n\nExample:\n  pintle policy list")]
    List,
    /// Write the built-in policies into a folder, to make them your own
    #[command(
        after_help = "Writes the *.cedar files, their schema and their decision table. Needs no server.\n\n\
                      Example:\n  pintle policy export policies"
    )]
    Export {
        /// The folder; it is made if need be
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Overwrite files that are there
        #[arg(long)]
        force: bool,
    },
}
