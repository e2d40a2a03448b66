//! Which placements a request is meant for: those that its model's name stands for, as far as they serve its endpoint
//! and can read its token ids. Used by the phases `admit` and `classify`; nothing is decided here.

use std::sync::Arc;

use pintle_llm::{AnyRequest, Endpoint, Readings, RequestError};

use crate::{
    error::Stop,
    fleet::{self, Station},
    judge,
    phases::Admission,
    state::{Gateway, Loaded},
};

/// The placements that a model's name means and that serve the endpoint; never none.
pub(crate) fn stations(
    gateway: &Gateway,
    loaded: &Loaded,
    admission: &Admission,
    model: Option<&str>,
) -> Result<Vec<Arc<Station>>, Stop> {
    let endpoint = admission.endpoint;
    let offers = |station: &&Arc<Station>| station.connector().offers(endpoint);
    let Some(model) = model else { return only_one(gateway, loaded, admission) };
    if model == "auto" && endpoint == Endpoint::Embeddings {
        return Err(Stop::Request(RequestError::InvalidField {
            param: "model".to_owned(),
            expected: "the name of one placement or model (vectors of different models cannot be compared)",
            found: "`auto`".to_owned(),
        }));
    }
    let named = fleet::named(&loaded.stations, model);
    let shown = || model.chars().take(64).filter(|c| !c.is_control()).collect::<String>();
    if named.is_empty() {
        let known = known_models(gateway, loaded, admission);
        return Err(Stop::NoSuchModel { model: shown(), known });
    }
    let serving: Vec<_> = named.into_iter().filter(offers).map(Arc::clone).collect();
    if serving.is_empty() {
        let known = names(&usable(gateway, loaded, admission));
        return Err(Stop::NotServed { path: endpoint.path(), model: Some(shown()), known });
    }
    Ok(serving)
}

/// The placements that serve the endpoint, and to which at least something of the use case may go.
fn usable<'a>(gateway: &Gateway, loaded: &'a Loaded, admission: &Admission) -> Vec<&'a Arc<Station>> {
    let mut usable = judge::usable(gateway, loaded, &admission.use_case, &admission.subject);
    usable.retain(|station| station.connector().offers(admission.endpoint));
    usable
}

/// The placement that is meant where none is named: the only one there is.
fn only_one(gateway: &Gateway, loaded: &Loaded, admission: &Admission) -> Result<Vec<Arc<Station>>, Stop> {
    let usable = usable(gateway, loaded, admission);
    match usable.as_slice() {
        [one] => Ok(vec![Arc::clone(one)]),
        several => {
            let (path, known) = (admission.endpoint.path(), names(several));
            Err(Stop::NotServed { path, model: None, known })
        }
    }
}

fn names(stations: &[&Arc<Station>]) -> Vec<String> {
    stations.iter().map(|station| format!("`{}`", station.name())).collect()
}

/// What the caller could have asked for instead.
fn known_models(gateway: &Gateway, loaded: &Loaded, admission: &Admission) -> Vec<String> {
    let mut known = names(&usable(gateway, loaded, admission));
    if admission.endpoint != Endpoint::Embeddings && !known.is_empty() {
        known.insert(0, "`auto`".to_owned());
    }
    known
}

/// Has the token ids of a request read by the models that it is meant for. Ids mean a text in one vocabulary only, so
/// only the placements stay whose models read what the first of them reads: the guard sees what the model will see.
///
/// Providers elsewhere do not tell us their vocabulary. What goes to them stays unread, and unscannable.
pub(crate) fn read_tokens(
    request: &mut AnyRequest,
    stations: &mut Vec<Arc<Station>>,
) -> Result<(), RequestError> {
    let AnyRequest::Prompt(prompt) = request else { return Ok(()) };
    let is_local = |station: &Arc<Station>| station.connector().local().is_some();
    if !prompt.has_tokens() || !stations.iter().any(is_local) {
        return Ok(());
    }
    let mut meant: Option<Readings> = None;
    stations.retain(|station| {
        let model = station.connector().local();
        let Some(read) = model.and_then(|model| prompt.read(&|ids| model.text_of(ids))) else { return false };
        match &meant {
            Some(known) => *known == read,
            None => {
                meant = Some(read);
                true
            }
        }
    });
    let Some(readings) = meant else {
        return Err(RequestError::InvalidField {
            param: prompt.input_field().to_owned(),
            expected: "token ids of the model's own vocabulary (see `POST /tokenize`), or the text itself",
            found: "ids that it does not know".to_owned(),
        });
    };
    prompt.set_readings(readings);
    Ok(())
}
