//! Images in and out: import, load, save, and the refusal to pull.

use engine_types::{Error, Result};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::load::{self, ChunkReader};
use super::reference::Reference;
use super::save;
use crate::error::{Doing, blocking};
use crate::{Chunks, Engine, Progress};

impl Engine {
    /// `docker import`: a root file system as a tar, compressed or not.
    pub async fn image_import(
        &self,
        body: Chunks,
        reference: &str,
        message: &str,
        changes: &[String],
    ) -> Result<Progress> {
        let reference = match reference {
            "" => None,
            name => Some(Reference::parse(name)?),
        };
        let message = if message.is_empty() {
            "Imported from -"
        } else {
            message
        }
        .to_owned();
        let changes = changes.to_vec();
        let engine = self.clone();
        Ok(progress(async move |send| {
            let _changing = engine.inner.images.changing.read().await;
            let inner = engine.inner.clone();
            let file = blocking(move || {
                load::import(
                    &inner.images.layers,
                    ChunkReader::new(body),
                    &message,
                    &changes,
                )
            })
            .await?;
            let id = engine.inner.images.add(file).await?;
            if let Some(reference) = &reference {
                engine.inner.images.tag(&id, reference).await?;
            }
            engine.image_event("import", &id, reference.as_ref().map(Reference::tagged));
            let _ = send.send(Ok(json!({"status": id}))).await;
            Ok(())
        }))
    }

    /// `docker load`: docker-archive or OCI layout.
    pub async fn image_load(&self, body: Chunks, _quiet: bool) -> Result<Progress> {
        let spool = tempfile::Builder::new()
            .prefix("load-")
            .tempdir_in(&self.inner.tmp)
            .doing("create a spool folder")?;
        let engine = self.clone();
        Ok(progress(async move |send| {
            let images = &engine.inner.images;
            let _changing = images.changing.read().await;
            let inner = engine.inner.clone();
            let found = blocking(move || {
                load::load(&inner.images.layers, ChunkReader::new(body), spool.path())
            })
            .await?;
            for found in found {
                let id = images.add(found.file).await?;
                let mut lines = Vec::new();
                for reference in &found.names {
                    let name = images.tag(&id, reference).await?;
                    lines.push(format!("Loaded image: {name}\n"));
                }
                if lines.is_empty() {
                    lines.push(format!("Loaded image ID: {id}\n"));
                }
                engine.image_event("load", &id, found.names.first().map(Reference::tagged));
                for line in lines {
                    let _ = send.send(Ok(json!({"stream": line}))).await;
                }
            }
            Ok(())
        }))
    }

    pub async fn image_save(&self, names: &[String]) -> Result<Chunks> {
        let selected = save::select(&self.inner.images, names)?;
        let (send, receive) = mpsc::channel(8);
        for image in &selected {
            self.image_event("save", &image.image.id, None);
        }
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || {
            let mut out = save::ChunkWriter::new(send);
            let result = save::write(&inner.images, &selected, &mut out);
            out.finish(result);
        });
        Ok(receive)
    }

    pub async fn image_pull(
        &self,
        reference: &str,
        _platform: &str,
        _auth: &str,
    ) -> Result<Progress> {
        let name = Reference::parse(reference)?.tagged();
        Err(Error::not_implemented(format!(
            "pulling {name} from a registry is not supported by this build yet: use docker load or docker import"
        )))
    }
}

/// Runs `work` in the background; its failure becomes the stream's last item.
fn progress<F>(work: impl FnOnce(mpsc::Sender<Result<Value>>) -> F) -> Progress
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (send, receive) = mpsc::channel(16);
    let work = work(send.clone());
    tokio::spawn(async move {
        if let Err(error) = work.await {
            let _ = send.send(Err(error)).await;
        }
    });
    receive
}
