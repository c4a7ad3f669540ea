//! `docker rmi` and `docker image prune`: what may go, and what goes with it.

use std::collections::BTreeSet;

use engine_types::image::DeleteItem;
use engine_types::{Error, Result};

use super::reference::{Reference, is_hex};
use super::{Image, Images, short};
use crate::error::lock;
use crate::store::{Table, Write};

/// A container that was made from an image.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub container: String,
    pub image: String,
    pub running: bool,
}

impl Images {
    /// Takes names and, with the last one, the image away. Layers are swept by the caller.
    pub async fn remove(&self, name: &str, force: bool, users: &[User]) -> Result<Vec<DeleteItem>> {
        let image = self.find(name)?;
        let references = self.references(&image.id);
        let by_id = {
            let hex = name.strip_prefix("sha256:").unwrap_or(name);
            is_hex(hex) && image.id["sha256:".len()..].starts_with(hex)
        };
        let named = Reference::parse(name).ok().map(|r| r.tagged());
        let users: Vec<&User> = users.iter().filter(|u| u.image == image.id).collect();
        let named = named.filter(|named| !by_id || references.contains(named));
        let untagged = match named.filter(|named| references.contains(named)) {
            Some(named) if references.len() > 1 => {
                self.forget(&image, std::slice::from_ref(&named), false)
                    .await?;
                return Ok(vec![untagged(&named)]);
            }
            Some(named) => {
                if let Some(user) = users.first().filter(|_| !force) {
                    return Err(conflict(format!(
                        "unable to remove repository reference {name:?} (must force) - container {} is using its \
                         referenced image {}",
                        short(&user.container),
                        short(&image.id)
                    )));
                }
                // A forced removal of a name in use takes the name only.
                if !users.is_empty() {
                    self.forget(&image, std::slice::from_ref(&named), false)
                        .await?;
                    return Ok(vec![untagged(&named)]);
                }
                vec![named]
            }
            None => {
                let repositories: BTreeSet<_> = references
                    .iter()
                    .filter_map(|reference| reference.rsplit_once(':'))
                    .map(|(repository, _)| repository)
                    .collect();
                if repositories.len() > 1 && !force {
                    return Err(conflict(format!(
                        "unable to delete {} (must be forced) - image is referenced in multiple repositories",
                        short(&image.id)
                    )));
                }
                check_users(&image, &users, force)?;
                references
            }
        };
        self.forget(&image, &untagged, true).await?;
        Ok(untagged
            .iter()
            .map(|name| self::untagged(name))
            .chain([deleted(&image.id)])
            .collect())
    }

    /// Forgets names, and the image itself when `whole`.
    async fn forget(&self, image: &Image, names: &[String], whole: bool) -> Result<()> {
        let delete = |table, key: &str| Write {
            table,
            key: key.to_owned(),
            value: None,
        };
        let saved = {
            let mut state = lock(&self.state);
            let mut writes: Vec<Write> = names
                .iter()
                .map(|name| delete(Table::References, name))
                .collect();
            for name in names {
                state.references.remove(name);
            }
            if whole {
                state.images.remove(&image.id);
                writes.push(delete(Table::Images, &image.id));
            }
            self.store.write(writes)
        };
        saved.await
    }
}

fn check_users(image: &Image, users: &[&User], force: bool) -> Result<()> {
    let id = short(&image.id);
    if let Some(user) = users.iter().find(|user| user.running) {
        return Err(conflict(format!(
            "unable to delete {id} (cannot be forced) - image is being used by running container {}",
            short(&user.container)
        )));
    }
    match users.first() {
        Some(user) if !force => Err(conflict(format!(
            "unable to delete {id} (must be forced) - image is being used by stopped container {}",
            short(&user.container)
        ))),
        _ => Ok(()),
    }
}

fn conflict(text: String) -> Error {
    Error::conflict(format!("conflict: {text}"))
}

fn untagged(name: &str) -> DeleteItem {
    DeleteItem {
        untagged: name.to_owned(),
        ..DeleteItem::default()
    }
}

pub(crate) fn deleted(id: &str) -> DeleteItem {
    DeleteItem {
        deleted: id.to_owned(),
        ..DeleteItem::default()
    }
}
