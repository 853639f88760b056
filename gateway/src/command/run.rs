//! `run`: the gateway, until SIGTERM or SIGINT.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use venue_journal::OpenError;

use crate::{
    app::{App, Control, StartError},
    cli::Exit,
    config::Config,
};

/// Runs the gateway. SIGTERM and SIGINT drain it.
///
/// # Errors
/// If it does not start for another reason than a journal that is in use.
pub fn run(config: Config) -> anyhow::Result<Exit> {
    crate::limits::raise_open_files();
    let data_dir = config.gateway.data_dir.clone();
    let app = match App::start(config) {
        Ok(app) => app,
        Err(StartError::Journal(error @ OpenError::Locked)) => {
            tracing::error!(%error, data_dir = %data_dir.display(), "another gateway runs on this data directory");
            eprintln!(
                "{}: {error}; stop the other gateway, or give this one a data directory of its own",
                data_dir.display()
            );
            return Ok(Exit::Locked);
        }
        Err(error) => return Err(error.into()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = Control::bind(&data_dir).with_context(|| {
            format!("failed to make the control socket {}", crate::app::socket_path(&data_dir).display())
        })?;
        let control = tokio::spawn(app.control().serve(listener));
        tracing::info!(data_dir = %data_dir.display(), "running");
        let ended = stop_signal().await;
        control.abort();
        ended
    })?;
    drop(runtime);
    app.drain();
    // A stale socket would make `status` wait for a process that is gone.
    let _ = std::fs::remove_file(crate::app::socket_path(&data_dir));
    Ok(Exit::Success)
}

async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = name, "asked to stop");
    Ok(())
}
