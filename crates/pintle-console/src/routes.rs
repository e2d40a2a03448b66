//! The table of all routes: path, who may call it, what answers. The router is built from it, and a test
//! tries each line without credentials.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    response::Redirect,
    routing::{self, MethodRouter},
};
use http::Method;

use crate::{api, app::App, assets, gate, pages};

/// Bodies are small: a use case, a chat message. Larger ones are refused with 413.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Who may call a route, and in which form it says what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody: the way in, and what pages are drawn with.
    Public,
    /// A signed-in browser; others are led to the sign-in page.
    Page,
    /// A signed-in browser's script; others get a short piece of HTML with status 401.
    Fragment,
    /// The command line with its token, or a signed-in browser; others get a problem with status 401.
    Api,
}

/// One line of the table.
pub struct Route {
    /// `GET`, `POST`, `PUT` or `PATCH`; `GET` takes `HEAD` along.
    pub method: &'static str,
    /// The path, with parameters in braces.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    handler: fn() -> MethodRouter<App>,
}

const fn get(path: &'static str, access: Access, handler: fn() -> MethodRouter<App>) -> Route {
    Route { method: "GET", path, access, handler }
}

const fn post(path: &'static str, access: Access, handler: fn() -> MethodRouter<App>) -> Route {
    Route { method: "POST", path, access, handler }
}

/// Every route of the console and the admin API.
pub const ROUTES: &[Route] = &[
    get("/", Access::Public, || routing::get(async || Redirect::to("/console"))),
    get("/console/assets/{file}", Access::Public, || routing::get(assets::show)),
    get("/console/sign-in", Access::Public, || routing::get(pages::sign_in::show)),
    get("/console/set-up", Access::Public, || routing::get(pages::sign_in::set_up)),
    post("/console/set-up", Access::Public, || routing::post(pages::sign_in::follow)),
    post("/console/sign-out", Access::Page, || routing::post(pages::sign_in::sign_out)),
    get("/console", Access::Page, || routing::get(pages::overview::show)),
    get("/console/", Access::Page, || routing::get(async || Redirect::permanent("/console"))),
    get("/console/use-cases", Access::Page, || routing::get(pages::use_cases::show)),
    get("/console/use-cases/{name}", Access::Page, || routing::get(pages::use_case::show)),
    get("/console/requests", Access::Page, || routing::get(pages::requests::show)),
    get("/console/requests/{id}", Access::Page, || routing::get(pages::request::show)),
    get("/console/try", Access::Page, || routing::get(pages::try_it::show)),
    post("/console/try", Access::Page, || routing::post(pages::try_it::answer)),
    post("/console/try/send", Access::Fragment, || routing::post(pages::try_it::send)),
    get("/console/try/facts/{id}", Access::Fragment, || routing::get(pages::try_it::facts)),
    get("/console/models", Access::Page, || routing::get(pages::models::show)),
    get("/console/models/{name}", Access::Page, || routing::get(pages::model::show)),
    get("/console/models/{name}/training", Access::Page, || routing::get(pages::training::show)),
    get("/console/models/{name}/{version}", Access::Page, || routing::get(pages::version::show)),
    post("/console/models/{name}/promote", Access::Page, || routing::post(pages::version::promote)),
    get("/console/bans", Access::Page, || routing::get(pages::bans::show)),
    get("/console/rules", Access::Page, || routing::get(pages::rules::show)),
    get("/admin/api/status", Access::Api, || routing::get(api::status::show)),
    get("/admin/api/use-cases", Access::Api, || routing::get(api::use_cases::list)),
    post("/admin/api/use-cases", Access::Api, || routing::post(api::use_cases::create)),
    get("/admin/api/use-cases/{name}", Access::Api, || routing::get(api::use_cases::show)),
    Route {
        method: "PATCH",
        path: "/admin/api/use-cases/{name}",
        access: Access::Api,
        handler: || routing::patch(api::use_cases::edit),
    },
    post("/admin/api/use-cases/{name}/stage", Access::Api, || routing::post(api::use_cases::set_stage)),
    get("/admin/api/keys", Access::Api, || routing::get(api::keys::list)),
    post("/admin/api/keys", Access::Api, || routing::post(api::keys::create)),
    post("/admin/api/keys/{id}/rotate", Access::Api, || routing::post(api::keys::rotate)),
    post("/admin/api/keys/{id}/revoke", Access::Api, || routing::post(api::keys::revoke)),
    get("/admin/api/budgets", Access::Api, || routing::get(api::budgets::list)),
    Route {
        method: "PUT",
        path: "/admin/api/budgets/{scope}",
        access: Access::Api,
        handler: || routing::put(api::budgets::set),
    },
    get("/admin/api/bans", Access::Api, || routing::get(api::bans::list)),
    post("/admin/api/bans", Access::Api, || routing::post(api::bans::add)),
    post("/admin/api/bans/{id}/lift", Access::Api, || routing::post(api::bans::lift)),
    get("/admin/api/models", Access::Api, || routing::get(api::models::list)),
    get("/admin/api/models/{model}/{version}", Access::Api, || routing::get(api::models::show)),
    post("/admin/api/models/{model}/promote", Access::Api, || routing::post(api::models::promote)),
    get("/admin/api/usage", Access::Api, || routing::get(api::reads::usage)),
    get("/admin/api/requests", Access::Api, || routing::get(api::reads::requests)),
    get("/admin/api/requests/{id}", Access::Api, || routing::get(api::reads::request)),
    get("/admin/api/acts", Access::Api, || routing::get(api::reads::acts)),
    get("/admin/api/rules", Access::Api, || routing::get(api::reads::rules)),
    post("/admin/api/setup-link", Access::Api, || routing::post(api::status::setup_link)),
];

/// Who may call a path that was matched. A method that the table does not name asks for as much as the
/// path's other methods; a path that it does not name asks for everything.
pub(crate) fn access(method: &Method, path: &str) -> Access {
    let word = gate::method_word(method);
    let lines = || ROUTES.iter().filter(|route| route.path == path);
    lines()
        .find(|route| route.method == word)
        .or_else(|| lines().next())
        .map_or(Access::Api, |route| route.access)
}

/// Builds the router from the table.
pub(crate) fn build(app: App) -> Router {
    let router =
        ROUTES.iter().fold(Router::new(), |router, route| router.route(route.path, (route.handler)()));
    router
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(app.clone(), gate::gate))
        .with_state(app)
}
