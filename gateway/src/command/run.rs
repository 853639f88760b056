//! `run`: the gateway, until SIGTERM or SIGINT; SIGHUP has its configuration read anew.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use venue_journal::OpenError;

use super::{output, supervise};
use crate::{
    app::{App, Control, StartError},
    cli::Exit,
    clock::time_awake,
    config::Config,
    systemd::Supervisor,
};

/// Runs the gateway. SIGTERM and SIGINT drain it, SIGHUP has its configuration read anew.
///
/// # Errors
/// If it does not start for another reason than a journal that is in use.
pub fn run(config: Config) -> anyhow::Result<Exit> {
    crate::limits::raise_open_files();
    for warning in &config.warnings {
        tracing::warn!(at = %warning.place, "configuration: {}; {}", warning.message, warning.help);
    }
    let data_dir = config.gateway.data_dir.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anything starts: a signal that comes meanwhile drains, too, and SIGHUP would kill.
    let (stop, mut hangup) = {
        let _runtime = runtime.enter();
        let stop =
            StopSignals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        (stop, signal(SignalKind::hangup())?)
    };
    let app = match App::start(config) {
        Ok(app) => app,
        Err(StartError::Journal(OpenError::Locked)) => {
            output::tell(&format!(
                "venue-gateway: another process holds {}; stop it, or give this gateway a data directory of its own",
                data_dir.display()
            ));
            return Ok(Exit::Locked);
        }
        Err(error) => return Err(error.into()),
    };
    let supervisor = Supervisor::from_environment();
    runtime.block_on(async {
        let listener = Control::bind(&data_dir).with_context(|| {
            format!("failed to make the control socket {}", crate::app::socket_path(&data_dir).display())
        })?;
        let control = tokio::spawn(app.control().serve(listener));
        tracing::info!(data_dir = %data_dir.display(), "running");
        let supervised = async {
            let Some(supervisor) = &supervisor else { return std::future::pending().await };
            supervisor.tell("READY=1");
            supervise::run(supervisor, app.control(), app.pulse()).await;
        };
        let reloaded = async {
            while hangup.recv().await.is_some() {
                tracing::info!(signal = "SIGHUP", "asked to read the configuration anew");
                if let Some(supervisor) = &supervisor {
                    supervisor.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", time_awake().as_micros()));
                }
                app.reload().await;
                if let Some(supervisor) = &supervisor {
                    supervisor.tell("READY=1");
                }
            }
        };
        tokio::select! {
            () = stop.received() => {}
            () = supervised => {}
            () = reloaded => {}
        }
        if let Some(supervisor) = &supervisor {
            supervisor.tell("STOPPING=1\nSTATUS=STOPPING");
        }
        control.abort();
        anyhow::Ok(())
    })?;
    // Not waiting for a look that waits for the disk.
    runtime.shutdown_background();
    app.drain();
    // A stale socket would make `status` wait for a process that is gone.
    let _ = std::fs::remove_file(crate::app::socket_path(&data_dir));
    Ok(Exit::Success)
}

/// What asks the gateway to stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    async fn received(mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "asked to stop");
    }
}
