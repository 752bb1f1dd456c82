//! What the service manager is told: ready, alive, stopping. Without one, nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::spool::Spool;

/// The spool is open and the sources run.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The ordered stop began.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says twice in the manager's time that the agent lives, as long as the thread that writes the spool
/// shows it: a disk that hangs for good must not look like a healthy agent.
pub(crate) async fn watchdog(spool: Spool) {
    let Some(timeout) = sd_notify::watchdog_enabled() else { return };
    let mut tick = tokio::time::interval((timeout / 2).max(Duration::from_millis(100)));
    loop {
        tick.tick().await;
        if spool.ping().await.is_err() {
            return;
        }
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("the service manager was not reached: {error}");
    }
}
