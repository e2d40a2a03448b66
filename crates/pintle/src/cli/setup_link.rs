//! `pintle setup-link`: a fresh one-time link to sign in to the console with.

use http::Method;
use pintle_registry::SETUP_LINK_MINUTES;

use super::{api::SetupLink, client::AdminClient, exit::CliError, output::Output};

pub(crate) async fn run(client: &AdminClient, output: &Output) -> Result<(), CliError> {
    let (link, _) = client.send_for::<SetupLink>(Method::POST, "/admin/api/setup-link", None).await?;
    // On loopback whatever the public address is: the link works on the server's own machine only.
    let url = client.url(&link.path);
    if output.json {
        return output.json(&serde_json::json!({ "url": url, "path": link.path }));
    }
    output.note(&format!(
        "Open it in a browser on this machine. It works once, for {SETUP_LINK_MINUTES} minutes; links made \
         before no longer work."
    ));
    output.line(&url)
}
