//! Who makes a request.

use std::sync::Arc;

use pintle_core::Name;
use pintle_registry::PresentedKey;

/// Who makes a request: an application with a key, or a person in the console.
#[derive(Clone)]
pub enum Caller {
    /// What came after `Bearer`, hashed; `None` when nothing came.
    Key(Option<PresentedKey>),
    /// A signed-in person, who chose a use case.
    Person {
        /// Who.
        person: Arc<str>,
        /// For which use case.
        use_case: Name,
    },
}
