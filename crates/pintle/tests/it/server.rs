//! The built binary as a server: started on a port of its own, with one placement at a scripted provider.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use pintle_testkit::{FakeUpstream, PATIENCE};
use serde_json::Value;
use tokio::net::TcpStream;

pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) addr: String,
}

/// Starts the binary on a port of its own and waits until it says where it is.
pub(crate) async fn start(data: &Path, config: &Path) -> Server {
    start_with(data, |command| command.arg("--config").arg(config)).await
}

/// As [`start`], with the sample organisation.
pub(crate) async fn start_demo(data: &Path) -> Server {
    start_with(data, |command| command.arg("--demo")).await
}

async fn start_with(data: &Path, more: impl FnOnce(&mut Command) -> &mut Command) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pintle"));
    command.args(["serve", "--listen", "127.0.0.1:0"]).arg("--data").arg(data);
    let child = more(&mut command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = u64::from(child.id());
    let addr = tokio::time::timeout(PATIENCE, async {
        loop {
            let text = std::fs::read_to_string(data.join("admin.json")).unwrap_or_default();
            if let Ok(admin) = serde_json::from_str::<Value>(&text)
                && admin["pid"].as_u64() == Some(pid)
            {
                let addr = admin["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
                if TcpStream::connect(&addr).await.is_ok() {
                    return addr;
                }
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the server starts");
    Server { child, addr }
}

pub(crate) fn pintle(data: &Path, args: &[&str]) -> Value {
    let output =
        Command::new(env!("CARGO_BIN_EXE_pintle")).arg("--data").arg(data).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A use case in production and a key for it.
pub(crate) fn make_key(data: &Path) -> String {
    let owners = ["--business-owner", "Jana <jana@example.com>", "--it-owner", "Tomas <tomas@example.com>"];
    let mut create =
        vec!["usecase", "create", "replies", "--title", "Replies", "--cost-centre", "1", "--json"];
    create.extend(owners);
    create.extend(["--data-class", "internal", "--stage", "production"]);
    pintle(data, &create);
    let made = pintle(data, &["key", "create", "--use-case", "replies", "--json"]);
    made["key"].as_str().unwrap().to_owned()
}

pub(crate) fn write_config(folder: &Path, upstream: &FakeUpstream) -> PathBuf {
    let path = folder.join("pintle.toml");
    let text = format!(
        r#"
        [organisation]
        name = "Killed"
        currency = "EUR"
        time_zone = "UTC"

        [[placement]]
        name = "far"
        provider = "openai"
        base_url = "{}"
        model = "m"
        zone = "on_premises"
        region = "here"
        clearance = "internal"
        price = {{ input = "1", output = "2" }}
        "#,
        upstream.base_url()
    );
    std::fs::write(&path, text).unwrap();
    path
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
