//! Stopping: the address moves first, while the proxy still serves; then everything else goes.

use super::signals::{Signals, Told};
use super::{CHILD_WAIT, End, Supervisor, service};
use evenkeel_bus::{DbusSignal, RoleState, ToBalance, ToProxy, ToVrrp};
use std::time::{Duration, Instant};

/// Requests under way may finish within this when the daemon is told to stop.
const SHORT_DRAIN: Duration = Duration::from_secs(2);
/// From quit to kill.
const QUIT: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Ends everything that this daemon started.
    pub(super) async fn stop(&mut self, end: End, signals: &mut Signals) {
        tracing::info!(target: "supervisor", "Stopping");
        service::tell(service::Doing::Stopping);
        self.give_up_reload();
        self.checks = self.checks.stopped();
        self.watchers = super::watch::Watchers::default();
        self.stop_vrrp().await;
        self.stop_dbus().await;
        self.stop_peers().await;
        self.stop_balance().await;
        self.stop_proxy(end, signals).await;
        let scripts_until = Instant::now() + self.child_wait();
        self.attend_until(scripts_until, |supervisor| {
            supervisor.notify.is_empty() && supervisor.letters.is_quiet(Instant::now())
        })
        .await;
        if !self.notify.is_empty() {
            tracing::warn!(target: "supervisor", "notify scripts still run after {:?}; they are killed", self.child_wait());
        }
        self.layer4.fifo.close().await;
        self.fifos.vrrp.close().await;
        self.fifos.all.close().await;
        self.stop_mail().await;
        self.run_hook(super::hook::End::Shutdown).await;
        self.pid_files.clear();
        self.listeners.replace(super::Listeners::default());
        tracing::info!(target: "supervisor", "Stopped {} (evenkeel {})", self.plan.name, env!("CARGO_PKG_VERSION"));
    }

    /// `child_wait_time`.
    fn child_wait(&self) -> Duration {
        self.compiled.settings.process.child_wait.unwrap_or(CHILD_WAIT)
    }

    async fn stop_vrrp(&mut self) {
        self.vrrp.enter(match self.vrrp.process {
            Some(_) => RoleState::Stopping,
            None => RoleState::Stopped,
        });
        let Some(process) = &self.vrrp.process else { return };
        process.send(ToVrrp::Stop);
        // A peer takes over within its master-down interval, or never.
        let handover = self
            .compiled
            .vrrp
            .instances
            .iter()
            .map(|instance| instance.advert_interval.duration() * (u32::from(instance.down_adverts.get()) + 1));
        let until = Instant::now() + self.child_wait() + handover.max().unwrap_or_default();
        self.attend_until(until, |supervisor| supervisor.vrrp.process.is_none()).await;
        if let Some(process) = &self.vrrp.process {
            tracing::error!(target: "supervisor", "the vrrp role does not stop; it is killed");
            process.kill();
            self.attend_until(Instant::now() + QUIT, |supervisor| supervisor.vrrp.process.is_none()).await;
        }
    }

    /// After the address has moved: until then its clients are still balanced here.
    async fn stop_balance(&mut self) {
        self.balance.enter(match self.balance.process {
            Some(_) => RoleState::Stopping,
            None => RoleState::Stopped,
        });
        let Some(process) = &self.balance.process else { return };
        match self.plan.keep_services {
            // It has no chance to take anything out.
            true => process.kill(),
            false => process.send(ToBalance::Stop),
        }
        self.attend_until(Instant::now() + self.child_wait(), |supervisor| supervisor.balance.process.is_none()).await;
        if let Some(process) = &self.balance.process {
            tracing::error!(target: "supervisor", "the balance role does not stop; it is killed");
            process.kill();
            self.attend_until(Instant::now() + QUIT, |supervisor| supervisor.balance.process.is_none()).await;
        }
        let pins = self.plan.runtime_directory.join(crate::role::balance::PINS);
        // What is still pinned there after a role that had to be killed goes with it.
        if rustix::mount::unmount(&pins, rustix::mount::UnmountFlags::NOFOLLOW).is_ok() {
            let _ = std::fs::remove_dir(pins);
        }
    }

    /// After everybody who may have something to write about.
    async fn stop_mail(&mut self) {
        self.forget_mail("the daemon stops");
        self.let_mail_go();
        self.attend_until(Instant::now() + QUIT, |supervisor| supervisor.mailer.state != RoleState::Stopping).await;
    }

    /// After the virtual routers, whose last states clients are told.
    async fn stop_dbus(&mut self) {
        self.dbus_signal(DbusSignal::Stopped);
        self.let_dbus_go();
        self.attend_until(Instant::now() + QUIT, |supervisor| supervisor.dbus.slot.state != RoleState::Stopping).await;
    }

    /// After the virtual routers, whose handover the peers see.
    async fn stop_peers(&mut self) {
        self.let_peers_go();
        self.attend_until(Instant::now() + QUIT, |supervisor| supervisor.peers.slot.state != RoleState::Stopping).await;
    }

    async fn stop_proxy(&mut self, end: End, signals: &mut Signals) {
        self.proxy.enter(match self.proxy.process {
            Some(_) => RoleState::Stopping,
            None => RoleState::Stopped,
        });
        let Some(process) = &self.proxy.process else { return };
        process.send(ToProxy::Drain);
        let limit = match (end, &self.compiled.site) {
            (End::Graceful, Some(site)) => site.shutdown_timeout.unwrap_or(Duration::MAX),
            // nginx's own TERM does not wait for anybody.
            _ if self.plan.nginx_style => Duration::ZERO,
            _ => SHORT_DRAIN,
        };
        let until = Instant::now().checked_add(limit);
        let far = Instant::now() + Duration::from_secs(365 * 86400);
        tokio::select! {
            () = self.attend_until(until.unwrap_or(far), |supervisor| supervisor.proxy.process.is_none()) => {}
            () = told_to_stop(signals), if end == End::Graceful => {}
        }
        if let Some(process) = &self.proxy.process {
            process.send(ToProxy::Quit);
            self.attend_until(Instant::now() + QUIT, |supervisor| supervisor.proxy.process.is_none()).await;
        }
        if let Some(process) = &self.proxy.process {
            process.kill();
            self.attend_until(Instant::now() + QUIT, |supervisor| supervisor.proxy.process.is_none()).await;
        }
    }

    /// Goes on handling what happens until `done`, or until the time is over.
    async fn attend_until(&mut self, until: Instant, done: fn(&Supervisor) -> bool) {
        while !done(self) {
            let happening = tokio::time::timeout_at(until.into(), self.inbox.recv()).await;
            let Ok(Some(happening)) = happening else { return };
            self.handle(happening).await;
        }
    }
}

/// A second, less patient signal.
async fn told_to_stop(signals: &mut Signals) {
    while !matches!(signals.next().await, Told::Stop | Told::Interrupt) {}
}
