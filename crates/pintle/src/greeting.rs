//! What the server says at its start, and the files by which people and the command line find it: all of
//! them readable by their owner alone.

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use pintle_core::{Name, Timestamp};
use pintle_registry::{PresentedKey, Registry, SETUP_LINK_MINUTES};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{cli::CliError, serve::failed};

const DEMO_USE_CASE: &str = "customer-replies";
const DEMO_LABEL: &str = "demonstration";

/// What to say at the start.
pub(crate) struct Greeting<'a> {
    pub(crate) url: &'a str,
    pub(crate) data: &'a Path,
    pub(crate) source: &'a str,
    pub(crate) setup_link: &'a str,
    pub(crate) demo_key: Option<&'a str>,
}

impl Greeting<'_> {
    /// Prints it. On a terminal the set-up link is shown; elsewhere, where output is often kept in logs,
    /// it goes to a file.
    pub(crate) fn show(&self, as_json: bool) -> Result<(), CliError> {
        let is_terminal = std::io::stdout().is_terminal() && !as_json;
        let link_file = self.data.join("setup-link");
        let sign_in = if is_terminal {
            self.setup_link.to_owned()
        } else {
            write_private(&link_file, &format!("{}\n", self.setup_link))?;
            format!("the link in {}", link_file.display())
        };
        let text = if as_json { self.json(&link_file) } else { self.text(&sign_in) };
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(failed("the greeting cannot be printed", &error))
            }
            _ => Ok(()),
        }
    }

    fn json(&self, link_file: &Path) -> String {
        let value = json!({
            "url": self.url, "console": format!("{}/console", self.url), "data": self.data,
            "config": self.source, "setup_link_file": link_file, "demo_key": self.demo_key,
        });
        format!("{value}\n")
    }

    fn text(&self, sign_in: &str) -> String {
        let mut text = format!(
            "\n  Pintle is ready.\n\n  Console   {url}/console\n  Sign in   {sign_in}\n            (works once, for {SETUP_LINK_MINUTES} minutes, on this machine)\n  Data      {data}\n  Config    {source}\n",
            url = self.url,
            data = self.data.display(),
            source = self.source,
        );
        if let Some(key) = self.demo_key {
            text.push_str(&self.demo(key));
        } else {
            text.push_str(&format!("  API       {}/v1\n\n", self.url));
        }
        text
    }

    fn demo(&self, key: &str) -> String {
        let curl = |model: &str, content: &str| {
            format!(
                "    curl {}/v1/chat/completions -H \"Authorization: Bearer $KEY\" \\\n      -d '{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"{content}\"}}]}}'\n\n",
                self.url
            )
        };
        let iban = "A customer with IBAN DE89 3704 0044 0532 0130 00 asks what Pallet Storage costs.";
        format!(
            "\n  This is a demonstration with sample data. Cloud models are simulated; the on-premises one is real and small,\n  and knows only the handbook of the sample organisation. Nothing leaves this machine.\n\n    KEY={key}\n\n  1. A harmless request goes to the cheaper cloud placement:\n{}  2. With a customer's IBAN in it, it is kept on premises:\n{}  3. The same, asked for the cloud, is stopped, with what to do instead:\n{}",
            curl("auto", "Say thank you for the order."),
            curl("auto", iban),
            curl("cloud-mini", iban),
        )
    }
}

/// The demonstration's key: made once, kept in the data folder, so that the lines above go on working.
pub(crate) async fn demo_key(data: &Path, registry: &Registry) -> Result<Zeroizing<String>, CliError> {
    let path = data.join("demo-key");
    if let Ok(known) = std::fs::read_to_string(&path) {
        let known = Zeroizing::new(known.trim().to_owned());
        if registry.snapshot().key(&PresentedKey::hash(&known)).is_some_and(|key| key.revoked_at.is_none()) {
            return Ok(known);
        }
    }
    let use_case: Name =
        DEMO_USE_CASE.parse().map_err(|error| failed("the demonstration's use case", &error))?;
    let made = registry
        .create_key("demo", &use_case, DEMO_LABEL, None::<Timestamp>)
        .await
        .map_err(|error| failed("the demonstration's key cannot be made", &error))?;
    write_private(&path, &format!("{}\n", *made.secret))?;
    Ok(made.secret)
}

fn admin_file(data: &Path) -> PathBuf {
    data.join("admin.json")
}

/// Tells the command line where the server is and how to speak to it.
pub(crate) fn write_admin_file(data: &Path, listen: SocketAddr, token: &str) -> Result<(), CliError> {
    let mut reachable = listen;
    if listen.ip().is_unspecified() {
        reachable.set_ip(match listen {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let content = json!({ "url": format!("http://{reachable}"), "token": token, "pid": std::process::id() });
    write_private(&admin_file(data), &format!("{content}\n"))
}

pub(crate) fn remove_admin_file(data: &Path) {
    let _ = std::fs::remove_file(admin_file(data));
    let _ = std::fs::remove_file(data.join("setup-link"));
}

/// Writes a file that its owner alone can read: beside it first, then in its place, so that nobody ever
/// reads half of it.
fn write_private(path: &Path, content: &str) -> Result<(), CliError> {
    let fail = |error: std::io::Error| CliError::File {
        path: path.to_path_buf(),
        verb: "written",
        reason: error.to_string(),
    };
    let beside = path.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside).map_err(fail)?;
    file.write_all(content.as_bytes()).map_err(fail)?;
    std::fs::rename(&beside, path).map_err(fail)
}
