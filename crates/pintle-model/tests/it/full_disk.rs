//! A disk that is full: whatever was being written, the error says so, and nothing half-written is taken for whole.
//!
//! Each case runs in a process of its own whose files may not grow beyond a bound: for the program that is a write that
//! fails half-way, as on a full disk.

use std::{fs, path::Path, process::Command};

use pintle_core::DataClass;
use pintle_model::{
    Manifest, ModelError, ModelStore, VersionId,
    artefact::{Card, GgufPrecision, Precision, export_gguf, save},
};

use crate::{model, pipeline};

const CASE: &str = "PINTLE_TEST_FULL_DISK";

/// Runs a case with files of at most so many blocks, which are 512 or 1024 bytes.
fn in_little_room(case: &str, blocks: u32, folder: &Path) {
    let program = std::env::current_exe().unwrap();
    // The signal would end the process; ignored, the write fails.
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let run = Command::new("sh")
        .args(["-c", &script])
        .arg(program)
        .args(["--exact", "full_disk::a_case_in_little_room", "--nocapture"])
        .env(CASE, format!("{case}={}", folder.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&run.stderr)
    );
}

/// What the others run in a process of its own. Without a case there is nothing to do.
#[test]
fn a_case_in_little_room() {
    let Ok(case) = std::env::var(CASE) else { return };
    let (case, folder) = case.split_once('=').unwrap();
    let folder = Path::new(folder);
    let is_full = |error: &ModelError, file: &str| {
        assert!(matches!(error, ModelError::Io { .. }), "{error}");
        assert!(error.to_string().contains(file) && error.to_string().contains("large"), "{error}");
    };
    match case {
        "save" => {
            let error =
                save(&model(false), &folder.join("model"), &Card::default(), Precision::F32).unwrap_err();
            is_full(&error, "model");
        }
        "export" => {
            let error =
                export_gguf(&model(false), &folder.join("model.gguf"), GgufPrecision::F32).unwrap_err();
            is_full(&error, "model.gguf");
        }
        "register" => {
            let store = ModelStore::new(folder);
            let finished = store.work_path(&"handbook".parse().unwrap()).join("finished");
            let error = store.register(&finished, manifest()).unwrap_err();
            is_full(&error, "version.json");
        }
        "checkpoint" => {
            let error = pipeline::run(folder, &pipeline::recipe(folder, "", ""), &[]).unwrap_err();
            is_full(&error, "checkpoint");
        }
        other => panic!("`{other}` is no case"),
    }
}

fn manifest() -> Manifest {
    Manifest {
        id: VersionId { model: "handbook".parse().unwrap(), version: 1 },
        made_at: "2026-11-24T08:00:00Z".parse().unwrap(),
        pintle: "0.0.0".into(),
        recipe: "# a recipe\n".repeat(500),
        seed: 1,
        class: DataClass::Internal,
        licences: Vec::new(),
        data_sha256: std::collections::BTreeMap::new(),
        base: None,
        parameters: 1,
        trained_tokens: 1,
        training_s: 1.0,
        energy: None,
        gate_failures: Vec::new(),
        files_sha256: std::collections::BTreeMap::new(),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_model_that_could_not_be_saved_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    in_little_room("save", 16, place.path());
    in_little_room("export", 16, place.path());
    assert!(names(place.path()).is_empty(), "{:?}", names(place.path()));
}

#[test]
fn a_version_that_could_not_be_registered_is_none() {
    let place = tempfile::tempdir().unwrap();
    let store = ModelStore::new(place.path());
    let name = "handbook".parse().unwrap();
    let finished = store.work_folder(&name).unwrap().join("finished");
    fs::create_dir(&finished).unwrap();
    fs::write(finished.join("model.safetensors"), b"weights").unwrap();
    in_little_room("register", 1, place.path());
    assert!(store.versions(&name).unwrap().is_empty());
    assert_eq!(names(&finished), ["model.safetensors"]);
    // With room it is registered from the same folder.
    let manifest = store.register(&finished, manifest()).unwrap();
    assert!(store.verify(&manifest).is_ok());
}

#[test]
fn a_run_whose_checkpoint_could_not_be_kept_registers_nothing_and_goes_on_with_room() {
    let place = tempfile::tempdir().unwrap();
    in_little_room("checkpoint", 64, place.path());
    let store = ModelStore::new(place.path());
    let name = "small-talk".parse().unwrap();
    assert!(store.versions(&name).unwrap().is_empty());
    let recipe = pipeline::recipe(place.path(), "", "");
    assert_eq!(pipeline::run(place.path(), &recipe, &[]).unwrap().id.version, 1);
}
