//! The kinds of objects, and one object of any kind.

use std::sync::Arc;

use swarm_wire::pb;
use swarm_wire::pb::store_action::Target;

use crate::Error;
use crate::state::State;

/// What happened to one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Created(Object),
    Updated { old: Object, new: Object },
    Removed(Object),
}

impl Change {
    /// The object after the change, or what was removed.
    pub fn object(&self) -> &Object {
        match self {
            Self::Created(object) | Self::Removed(object) | Self::Updated { new: object, .. } => {
                object
            }
        }
    }
}

macro_rules! kinds {
    ($($kind:ident $field:ident),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($kind),* }

        /// One object of any kind.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Object { $($kind(Arc<pb::$kind>)),* }

        $(impl From<pb::$kind> for Object {
            fn from(object: pb::$kind) -> Self { Self::$kind(Arc::new(object)) }
        })*

        impl Object {
            pub fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind),* }
            }
            pub fn id(&self) -> &str {
                match self { $(Self::$kind(object) => &object.id),* }
            }
            pub fn meta(&self) -> Option<&pb::Meta> {
                match self { $(Self::$kind(object) => object.meta.as_ref()),* }
            }
            pub(crate) fn meta_mut(&mut self) -> &mut pb::Meta {
                match self {
                    $(Self::$kind(object) => Arc::make_mut(object).meta.get_or_insert_default()),*
                }
            }
            /// An object of this kind that has nothing but its id: all that a removal needs.
            pub(crate) fn bare(kind: Kind, id: &str) -> Self {
                match kind {
                    $(Kind::$kind => pb::$kind { id: id.to_owned(), ..Default::default() }.into()),*
                }
            }
            pub(crate) fn target(&self) -> Target {
                match self { $(Self::$kind(object) => Target::$kind(object.as_ref().clone())),* }
            }
            pub(crate) fn from_target(target: Target) -> Result<Self, Error> {
                match target {
                    $(Target::$kind(object) => Ok(object.into()),)*
                    other => Err(Error::Storage(format!(
                        "the log holds an object of a kind that this store does not know: {other:?}"
                    ))),
                }
            }
        }

        impl State {
            pub fn get(&self, kind: Kind, id: &str) -> Option<Object> {
                match kind { $(Kind::$kind => self.$field.get(id).cloned().map(Object::$kind)),* }
            }
            pub(crate) fn insert(&mut self, object: &Object) -> Option<Object> {
                match object {
                    $(Object::$kind(new) =>
                        self.$field.insert(new.id.clone(), new.clone()).map(Object::$kind)),*
                }
            }
            pub(crate) fn take(&mut self, kind: Kind, id: &str) -> Option<Object> {
                match kind { $(Kind::$kind => self.$field.remove(id).map(Object::$kind)),* }
            }
            /// Every difference between this state and a `newer` one; what they share is skipped.
            pub fn diff(&self, newer: &State) -> Vec<Change> {
                let mut changes = Vec::new();
                $(for item in self.$field.diff(&newer.$field) {
                    changes.push(match item {
                        imbl::ordmap::DiffItem::Add(_, new) =>
                            Change::Created(Object::$kind(new.clone())),
                        imbl::ordmap::DiffItem::Update { old, new } => Change::Updated {
                            old: Object::$kind(old.1.clone()),
                            new: Object::$kind(new.1.clone()),
                        },
                        imbl::ordmap::DiffItem::Remove(_, old) =>
                            Change::Removed(Object::$kind(old.clone())),
                    });
                })*
                changes
            }
            pub(crate) fn to_snapshot(&self) -> pb::StoreSnapshot {
                pb::StoreSnapshot {
                    $($field: self.$field.values().map(|object| object.as_ref().clone()).collect(),)*
                    ..Default::default()
                }
            }
            pub(crate) fn from_snapshot(version: u64, snapshot: pb::StoreSnapshot) -> Self {
                let mut state = Self { version, ..Self::default() };
                $(for object in snapshot.$field { state.put(&object.into()); })*
                state
            }
        }
    };
}

kinds! {
    // The order of a diff: what others refer to comes first.
    Cluster clusters,
    Network networks,
    Node nodes,
    Service services,
    Task tasks,
    Secret secrets,
    Config configs,
}
