//! The stylesheet, the scripts and the icon: embedded, and served under names that carry their hash, so
//! that browsers may keep them for good.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use sha2::{Digest, Sha256};

use crate::{app::App, problem::Problem};

/// Browsers may keep what carries its hash in its name.
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The embedded files and the paths that pages refer to them by.
pub(crate) struct Assets {
    pub(crate) css: Asset,
    pub(crate) js: Asset,
    pub(crate) try_js: Asset,
    pub(crate) live_js: Asset,
    pub(crate) icon: Asset,
}

/// One embedded file.
pub(crate) struct Asset {
    /// `/console/assets/console.1f3c….css`.
    pub(crate) path: String,
    kind: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, text: &'static str) -> Self {
        let hash: String = Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Asset { path: format!("/console/assets/{stem}.{hash}.{extension}"), kind, text }
    }
}

impl Assets {
    pub(crate) fn new() -> Self {
        let script = "text/javascript; charset=utf-8";
        Assets {
            css: Asset::new(
                "console",
                "css",
                "text/css; charset=utf-8",
                include_str!("../assets/console.css"),
            ),
            js: Asset::new("console", "js", script, include_str!("../assets/console.js")),
            try_js: Asset::new("try", "js", script, include_str!("../assets/try.js")),
            live_js: Asset::new("live", "js", script, include_str!("../assets/live.js")),
            icon: Asset::new("icon", "svg", "image/svg+xml", include_str!("../assets/icon.svg")),
        }
    }
}

/// `GET /console/assets/{file}`.
pub(crate) async fn show(State(app): State<App>, Path(file): Path<String>) -> Result<Response, Problem> {
    let assets = &app.assets;
    let path = format!("/console/assets/{file}");
    let all = [&assets.css, &assets.js, &assets.try_js, &assets.live_js, &assets.icon];
    let found = all.into_iter().find(|it| it.path == path);
    let asset = found.ok_or_else(|| Problem::not_found("file", &file))?;
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)), (header::CACHE_CONTROL, FOR_GOOD)];
    Ok((headers, asset.text).into_response())
}
