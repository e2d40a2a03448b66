//! Own models from outside: a training that is killed again and again ends with the same version, and a running server
//! follows what is promoted.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use pintle_model::{
    artefact::{Card, Model, Precision, save},
    tokenise::{Tokeniser, TokeniserRecipe},
};
use pintle_testkit::RawClient;
use serde_json::{Value, json};

use crate::{
    server::{make_key, pintle, start, start_demo},
    support::Sandbox,
};

const KILLS: u64 = 20;

pub(crate) fn recipe(sandbox: &Sandbox, steps: u64, seed: u64) {
    for (index, place) in ["Harbour", "Bridge", "Garden", "Library", "Station", "Market"].iter().enumerate() {
        let text = format!(
            "# {place}\n\nThe {place} opens early and is kept by number {index}. People like it in summer and in \
             winter, and many of them come back with their friends for the view.\n\n| Item | Value |\n|---|---|\n\
             | Opening hours | {}:00 to 18:00 |\n| Floor | {index} |\n",
            6 + index
        );
        sandbox.write(&format!("documents/{place}.md"), &text);
    }
    let text = format!(
        "name = \"places\"\nseed = {seed}\n[corpus]\nsources = [\"documents\"]\nheld_out_percent = 20\n\
         [tokeniser]\nvocab_size = 320\n[network]\nhidden_size = 32\nintermediate_size = 48\nlayers = 2\nheads = 4\n\
         key_value_heads = 2\ncontext = 256\n[base]\nsteps = {steps}\nsequence_length = 48\nsequences = 4\nthreads = 2\n\
         warm_up_steps = 4\n[tune]\nepochs = 2\nsequences = 8\nthreads = 2\n[tune.generate]\nvariants = 4\n\
         [evaluation]\nsamples = 2\n[evaluation.gate]\ncontaminated_share_max = 1.0\n"
    );
    sandbox.write("recipe.toml", &text);
}

pub(crate) fn train(sandbox: &Sandbox, data: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_pintle"))
        .args(["model", "train", "recipe.toml", "--data", data])
        .env_clear()
        .current_dir(sandbox.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn manifest(sandbox: &Sandbox, data: &str) -> Value {
    let path = sandbox.path(data).join("models/places/1/version.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_training_killed_at_twenty_moments_ends_with_the_same_version() {
    let sandbox = Sandbox::new();
    recipe(&sandbox, 400, 1);
    let begun = Instant::now();
    assert!(train(&sandbox, "whole").wait().unwrap().success());
    let took = begun.elapsed();
    for round in 0..KILLS {
        let mut child = train(&sandbox, "killed");
        // Later and later, so that reading, training, tuning and measuring are all hit.
        let moment = took.mul_f64((round as f64 + 0.5) / KILLS as f64).min(Duration::from_secs(10));
        let until = Instant::now() + moment;
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let versions = sandbox.path("killed/models/places");
    if !versions.join("1").exists() {
        assert!(train(&sandbox, "killed").wait().unwrap().success());
    }
    let (whole, killed) = (manifest(&sandbox, "whole"), manifest(&sandbox, "killed"));
    for file in ["model.safetensors", "tokenizer.json", "evaluation.json"] {
        assert_eq!(whole["files_sha256"][file], killed["files_sha256"][file], "{file}");
    }
    let curve = |data: &str| -> Value {
        let path = sandbox.path(data).join("models/places/1/training.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    assert_eq!(curve("whole"), curve("killed"), "the loss curve is that of an uninterrupted run");
}

/// Asks until the model of the answer is the wanted one.
async fn until_it_answers(addr: &str, key: &str, model: &str) -> Value {
    let patience = Instant::now();
    loop {
        let mut client = RawClient::connect(addr.parse().unwrap()).await;
        let body = json!({ "model": "own", "messages": [{ "role": "user", "content": "Which floor?" }], "max_tokens": 8 });
        client.post_json("/v1/chat/completions", key, &body).await;
        let answer = client.answer().await;
        if answer.status == 200 && answer.json()["model"] == model {
            return answer.json();
        }
        assert!(patience.elapsed() < Duration::from_secs(20), "{} {}", answer.status, answer.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_follows_promotions_and_goes_back() {
    let sandbox = Sandbox::new();
    recipe(&sandbox, 20, 1);
    sandbox.write(
        "pintle.toml",
        "[organisation]\nname = \"Own\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[[placement]]\nname = \"own\"\n\
         provider = \"embedded\"\nmodel = \"places\"\nzone = \"on_premises\"\nregion = \"here\"\n\
         clearance = \"restricted\"\nprice = { input = \"1\", output = \"2\" }\n",
    );
    let data = sandbox.path("data");
    let server = start(&data, &sandbox.path("pintle.toml")).await;
    let key = make_key(&data);
    for seed in [1, 2] {
        recipe(&sandbox, 20, seed);
        assert!(train(&sandbox, "data").wait().unwrap().success());
    }
    let promote = |version: &str| promote(&data, version);
    promote("places@1");
    let answer = until_it_answers(&server.addr, &key, "places@1").await;
    assert!(answer["usage"]["completion_tokens"].as_u64().unwrap() > 0);
    promote("places@2");
    until_it_answers(&server.addr, &key, "places@2").await;
    let begun = Instant::now();
    promote("places@1");
    until_it_answers(&server.addr, &key, "places@1").await;
    assert!(begun.elapsed() < Duration::from_secs(5), "going back took {:?}", begun.elapsed());
    let listed = pintle(&data, &["model", "list", "--json"]);
    let states: Vec<&str> =
        listed.as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["production", "candidate"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demonstration_has_a_real_model_on_premises_from_its_first_start() {
    let sandbox = Sandbox::new();
    let data = sandbox.path("sample");
    let server = start_demo(&data).await;
    let key = std::fs::read_to_string(data.join("demo-key")).unwrap();
    let mut client = RawClient::connect(server.addr.parse().unwrap()).await;
    let question = "A customer with IBAN DE89 3704 0044 0532 0130 00 asks what Pallet Storage costs.";
    let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": question }] });
    client.post_json("/v1/chat/completions", key.trim(), &body).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["model"], "nordwind-handbook@1");
    let content = &answer.json()["choices"][0]["message"]["content"];
    assert_eq!(content, "The price of Pallet Storage is 13 euros.");
    let shown = pintle(&data, &["model", "show", "nordwind-handbook@1", "--json"]);
    assert_eq!((&shown["class"], &shown["gate_failures"]), (&json!("internal"), &json!([])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_missing_says_so_and_is_taken_when_it_comes() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "pintle.toml",
        "[organisation]\nname = \"Own\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[[placement]]\nname = \"own\"\n\
         provider = \"embedded\"\nmodel = \"small-llama\"\nfolder = \"models/llama\"\ntrained_on = \"public\"\n\
         weights = \"int8\"\nzone = \"on_premises\"\nregion = \"here\"\nclearance = \"restricted\"\n\
         price = { input = \"1\", output = \"2\" }\n",
    );
    let data = sandbox.path("data");
    let server = start(&data, &sandbox.path("pintle.toml")).await;
    let key = make_key(&data);
    let mut client = RawClient::connect(server.addr.parse().unwrap()).await;
    let body = json!({ "model": "own", "messages": [{ "role": "user", "content": "Hello" }] });
    client.post_json("/v1/chat/completions", &key, &body).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &json!("model_unavailable")));

    let text = "The allowance is 42 euros per day; the office pays it within two weeks.";
    let recipe = TokeniserRecipe { vocab_size: 300, ..TokeniserRecipe::default() };
    let tokeniser = Tokeniser::train(std::iter::repeat_n(text, 3), recipe).unwrap();
    let config = serde_json::from_value(json!({
        "vocab_size": tokeniser.vocab_size(), "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64,
    }));
    let model = Model::untrained(config.unwrap(), std::sync::Arc::new(tokeniser), 1).unwrap();
    std::fs::create_dir(sandbox.path("models")).unwrap();
    save(&model, &sandbox.path("models/llama"), &Card::default(), Precision::F32).unwrap();
    until_it_answers(&server.addr, &key, "small-llama").await;
}

fn promote(data: &Path, version: &str) {
    pintle(data, &["model", "promote", version, "--reason", "to see it", "--by", "test", "--json"]);
}

#[test]
fn mistakes_are_said_in_words() {
    let sandbox = Sandbox::new();
    let error = |args: &[&str], code: i32, says: &str| {
        let run = sandbox.run(args);
        assert!(run.code == code && run.err.contains(says), "{}", run.shown());
    };
    error(&["model", "train", "nowhere.toml"], 1, "nowhere.toml");
    error(&["model", "show", "places"], 2, "handbook@2");
    error(&["model", "show", "places@1"], 5, "places@1");
    error(&["model", "promote", "places@1", "--reason", "x"], 5, "places@1");
    sandbox.write("recipe.toml", "name = \"x\"\n[corpus]\nsources = [\"gone\"]\n[base]\nstep = 1\n");
    error(&["model", "train", "recipe.toml"], 3, "step");
    sandbox.write("recipe.toml", "name = \"x\"\n[corpus]\nsources = [\"gone\"]\n");
    error(&["model", "train", "recipe.toml"], 1, "gone");
}
