//! The balance role: health probes, the pure balancer, and the plane that moves packets.
//!
//! One loop waits for a probe's end, the bus, netlink, a file or a deadline; calls the core; performs its actions. Probes
//! are tasks of the same thread. Programs of checks and notices run in the supervisor.

mod addresses;
mod data_path;
mod files;
mod keeper;
mod plane;
pub mod probe;

use crate::wire::Wire;
use addresses::LocalAddresses;
use evenkeel_balance::config::{BfdId, Probe};
use evenkeel_balance::{Action, Balancer, CheckId, Command, Config, Event, PoolId, ProbeResult, Says, names};
use evenkeel_bus::{
    Administered, BalanceView, Channel, ChannelError, Explanation, FromBalance, PoolView, ScriptEnd, ServerNotice,
    ToBalance, WallTime,
};
use evenkeel_kernel::privilege::{self, Capability};
use evenkeel_kernel::sandbox;
use evenkeel_kernel::{clock, memory};
use files::TrackedFiles;
use keeper::Keeper;
use plane::Planes;
use probe::Prober;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Where the XDP plane pins its maps, within the runtime directory.
pub const PINS: &str = "bpf";

/// Ended probes that may wait for the loop; probes wait when there are more.
const MAX_ENDED: usize = 4096;

/// Ended probes that are taken before anything else gets its turn.
const BURST: usize = 256;

/// What the role may still do once it has its configuration: change the table, send from privileged ports and by mark, ping.
const CAPABILITIES: [Capability; 5] =
    [Capability::NetAdmin, Capability::NetRaw, Capability::NetBindService, Capability::Bpf, Capability::Perfmon];

/// Runs until told to stop, or until the bus closes.
pub fn run(bus: Channel) -> anyhow::Result<()> {
    // Privileged code does not limp on: the supervisor starts it anew, from the plane's state.
    std::panic::set_hook(Box::new(|info| {
        tracing::error!(target: "balance", "panic: {info}");
        std::process::abort();
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // As a task: waking the future of `block_on` costs a system call each time, waking a task of the same thread none.
    runtime.block_on(async { tokio::spawn(serve(bus)).await })?
}

async fn serve(bus: Channel) -> anyhow::Result<()> {
    let mut bus = Wire::new(bus)?;
    let Some(first) = await_configuration(&mut bus).await? else { return Ok(()) };
    let number = first.number;
    match BalanceRole::start(bus, first).await {
        Ok(mut role) => role.run().await,
        Err(failed) => {
            let (mut bus, error) = *failed;
            let reason = format!("{error:#}");
            let _ = bus.send(&FromBalance::ConfigureFailed { number, reason }, Vec::new());
            let _ = tokio::time::timeout(Duration::from_secs(1), sent(&mut bus)).await;
            Err(error)
        }
    }
}

/// What comes with a configuration.
struct Order {
    number: u64,
    config: Config,
    admin: Vec<Administered>,
    interfaces: Vec<String>,
    directory: PathBuf,
}

async fn await_configuration(bus: &mut Wire) -> anyhow::Result<Option<Order>> {
    loop {
        bus.readable().await?;
        match bus.receive::<ToBalance>() {
            Ok(None) => {}
            Ok(Some(received)) => match received.message {
                ToBalance::Configure { number, mut config, kept: _, admin, interfaces, directory } => {
                    config.shrink();
                    return Ok(Some(Order { number, config: *config, admin, interfaces, directory }));
                }
                ToBalance::Stop => return Ok(None),
                ToBalance::ScriptEnded { .. }
                | ToBalance::Instance { .. }
                | ToBalance::Bfd { .. }
                | ToBalance::Administer(_)
                | ToBalance::Status { .. } => {}
            },
            Err(ChannelError::Closed) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Until everything that waits is on its way.
async fn sent(bus: &mut Wire) -> anyhow::Result<()> {
    while bus.wants_write() {
        bus.writable().await?;
        bus.flush()?;
    }
    Ok(())
}

/// A configuration and its number.
#[derive(Clone)]
struct Book {
    number: u64,
    config: Arc<Config>,
}

/// A probe's end.
struct Ended {
    check: CheckId,
    run: u64,
    result: ProbeResult,
    took: Duration,
}

/// A check that is under way.
enum UnderWay {
    Probe(AbortHandle),
    /// In the supervisor.
    Script {
        check: CheckId,
        asked_at: Instant,
        dynamic: bool,
    },
}

struct BalanceRole {
    bus: Wire,
    balancer: Balancer,
    keeper: Keeper,
    book: Book,
    prober: Arc<Prober>,
    under_way: BTreeMap<u64, UnderWay>,
    ended: mpsc::Receiver<Ended>,
    ends: mpsc::Sender<Ended>,
    files: TrackedFiles,
    addresses: LocalAddresses,
    masters: BTreeMap<String, bool>,
    actions: Vec<Action>,
    stopped: bool,
}

impl BalanceRole {
    async fn start(bus: Wire, order: Order) -> Result<Self, Box<(Wire, anyhow::Error)>> {
        let number = order.number;
        let open = || -> anyhow::Result<_> {
            // Files of keys are read before the rights to read them are given away.
            let prober = Prober::new(&order.config)?;
            let planes = Planes::open(&order.config, &order.interfaces, &order.directory.join(PINS))?;
            privilege::keep_only(&CAPABILITIES)?;
            privilege::no_new_privileges()?;
            sandbox::balance()?;
            Ok((prober, Keeper::new(planes), TrackedFiles::new(&order.config)?, LocalAddresses::open()?))
        };
        let (prober, keeper, files, addresses) = match open() {
            Ok(opened) => opened,
            Err(error) => return Err(Box::new((bus, error))),
        };
        let admin: Vec<_> = order.admin.into_iter().map(|a| ((a.pool, a.server), a.state)).collect();
        let (ends, ended) = mpsc::channel(MAX_ENDED);
        let config = Arc::new(order.config);
        let mut role = BalanceRole {
            bus,
            book: Book { number, config: config.clone() },
            balancer: Balancer::new(config, &admin, crate::supervisor::seed()),
            keeper,
            prober: Arc::new(prober),
            under_way: BTreeMap::new(),
            ended,
            ends,
            files,
            addresses,
            masters: BTreeMap::new(),
            actions: Vec::new(),
            stopped: false,
        };
        match role.begin(number) {
            Ok(()) => Ok(role),
            Err(error) => Err(Box::new((role.bus, error))),
        }
    }

    fn begin(&mut self, number: u64) -> anyhow::Result<()> {
        for event in self.addresses.read_all(&self.book.config)? {
            self.handle(event)?;
        }
        for event in self.files.read_all() {
            self.handle(event)?;
        }
        self.handle(Event::Deadline)?;
        self.keeper.adopt(&self.balancer.owned(), &self.balancer.desired_table())?;
        self.keeper.follow_masters(&self.book.config, &self.masters);
        self.tell(&FromBalance::Ready { number })?;
        memory::give_back();
        Ok(())
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        while !self.stopped {
            let deadline = self.balancer.deadline().map(|deadline| Instant::now() + deadline.since(clock::now()));
            let deadline = deadline.into_iter().chain([self.keeper.deadline()]).min().unwrap_or_else(Instant::now);
            let wants_write = self.bus.wants_write();
            tokio::select! {
                Some(ended) = self.ended.recv() => self.take_ended(ended)?,
                ready = self.bus.readable() => {
                    ready?;
                    if !self.read_bus()? {
                        // The supervisor is gone. The table stays: packets need no supervisor, and the next one adopts it.
                        tracing::error!(target: "balance", "the supervisor is gone");
                        return Ok(());
                    }
                }
                ready = self.bus.writable(), if wants_write => {
                    ready?;
                    if let Err(error) = self.bus.flush() && !matches!(error, ChannelError::Closed) {
                        return Err(error.into());
                    }
                }
                changed = self.addresses.changed() => {
                    changed?;
                    for event in self.addresses.read_all(&self.book.config)? {
                        self.handle(event)?;
                    }
                }
                events = self.files.changed() => {
                    for event in events? {
                        self.handle(event)?;
                    }
                }
                () = tokio::time::sleep_until(deadline.into()) => {
                    if self.balancer.deadline().is_some_and(|deadline| deadline <= clock::now()) {
                        self.handle(Event::Deadline)?;
                    }
                    self.keeper.look_after(|| (self.balancer.owned(), self.balancer.desired_table()));
                    self.explain_repairs()?;
                }
            }
        }
        self.tell(&FromBalance::Stopped)?;
        tokio::time::timeout(Duration::from_secs(1), sent(&mut self.bus)).await?
    }

    fn take_ended(&mut self, first: Ended) -> anyhow::Result<()> {
        let mut next = Some(first);
        let mut left = BURST;
        let mut actions = std::mem::take(&mut self.actions);
        while let Some(Ended { check, run, result, took }) = next {
            self.under_way.remove(&run);
            self.balancer.handle(clock::now(), Event::Probed { check, run, result, took }, &mut actions);
            left -= 1;
            next = if left > 0 { self.ended.try_recv().ok() } else { None };
        }
        let book = self.book.clone();
        self.perform(actions, &book)
    }

    /// False when the bus is closed.
    fn read_bus(&mut self) -> anyhow::Result<bool> {
        loop {
            let message = match self.bus.receive::<ToBalance>() {
                Ok(Some(received)) => received.message,
                Ok(None) => return Ok(true),
                Err(ChannelError::Closed) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            match message {
                ToBalance::Configure { number, mut config, kept, interfaces, .. } => {
                    config.shrink();
                    if kept.put_back(&mut config, &self.book.config) {
                        self.reconfigure(number, Arc::new(*config), &interfaces)?;
                    } else {
                        let reason = "it is said to have pools already that it has not".to_owned();
                        self.tell(&FromBalance::ConfigureFailed { number, reason })?;
                    }
                }
                ToBalance::ScriptEnded { run, outcome } => self.script_ended(run, outcome)?,
                ToBalance::Instance { name, master } => {
                    self.masters.insert(name, master);
                    self.keeper.follow_masters(&self.book.config, &self.masters);
                }
                ToBalance::Bfd { session, up } => {
                    let at = self.book.config.bfd_sessions.iter().position(|known| *known == session);
                    if let Some(at) = at.and_then(|at| u32::try_from(at).ok()) {
                        self.handle(Event::Bfd { session: BfdId(at), up })?;
                    }
                }
                ToBalance::Administer(Administered { pool, server, state }) => {
                    // The supervisor found the server in the same configuration.
                    if let Ok(server) = names::find_server(&self.book.config, &format!("{pool}/{server}")) {
                        self.handle(Event::Command(Command { server, state }))?;
                    }
                }
                ToBalance::Status { id } => {
                    let statistics = self.keeper.statistics();
                    let pools = self.balancer.status(clock::now()).pools;
                    let pools = pools.iter().map(|pool| PoolView::new(pool, statistics.as_ref())).collect();
                    let status = Box::new(BalanceView { plane: self.keeper.status(), pools });
                    self.tell(&FromBalance::Status { id, status })?;
                }
                ToBalance::Stop => self.handle(Event::Shutdown)?,
            }
        }
    }

    /// All or nothing: what can fail comes first.
    fn reconfigure(&mut self, number: u64, config: Arc<Config>, interfaces: &[String]) -> anyhow::Result<()> {
        let prepared = Prober::new(&config).map_err(anyhow::Error::from).and_then(|prober| {
            let files = TrackedFiles::new(&config)?;
            self.keeper.reconfigure(&config, interfaces)?;
            Ok((prober, files))
        });
        let (prober, files) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                return self.tell(&FromBalance::ConfigureFailed { number, reason: format!("{error:#}") });
            }
        };
        let old = std::mem::replace(&mut self.book, Book { number, config: config.clone() });
        let mut actions = std::mem::take(&mut self.actions);
        self.balancer.reconfigure(clock::now(), config, &mut actions);
        self.prober = Arc::new(prober);
        self.files = files;
        self.perform(actions, &old)?;
        for event in self.files.read_all() {
            self.handle(event)?;
        }
        for event in self.addresses.read_all(&self.book.config)? {
            self.handle(event)?;
        }
        self.keeper.follow_masters(&self.book.config, &self.masters);
        self.tell(&FromBalance::Ready { number })
    }

    fn handle(&mut self, event: Event) -> anyhow::Result<()> {
        let mut actions = std::mem::take(&mut self.actions);
        self.balancer.handle(clock::now(), event, &mut actions);
        let book = self.book.clone();
        self.perform(actions, &book)
    }

    /// Performs actions: first all that is about the table, then the others in order. Those before [`Action::Reconfigured`]
    /// speak of `old`.
    fn perform(&mut self, mut actions: Vec<Action>, old: &Book) -> anyhow::Result<()> {
        let is_new = actions.contains(&Action::Reconfigured);
        let mut book = if is_new { old.clone() } else { self.book.clone() };
        self.settle_table(&actions);
        let mut explanations = Vec::new();
        for action in actions.drain(..) {
            match action {
                Action::Probe { check, run, url } => self.begin_probe(check, run, url)?,
                Action::Cancel { check: _, run } => {
                    if let Some(UnderWay::Probe(task)) = self.under_way.remove(&run) {
                        task.abort();
                    }
                }
                // Done already.
                Action::Reconcile(_) | Action::Withdraw(_) => {}
                Action::Reconfigured => book = self.book.clone(),
                Action::Notify(notice) => {
                    if let Some(notice) = ServerNotice::new(&notice, book.number, &book.config) {
                        self.tell(&FromBalance::Notify(notice))?;
                    }
                }
                Action::Explain(explanation) => explanations.push((explanation, book.clone())),
                Action::Done => {
                    self.keeper.leave(&self.book.config);
                    self.stopped = true;
                }
            }
        }
        self.actions = actions;
        for (explanation, Book { config, .. }) in explanations {
            // The first one about a pool has all that was done there.
            let effects = self.keeper.take_effects(explanation.pool);
            self.tell(&FromBalance::Explained(Explanation::of_pool(explanation, &config, WallTime::now(), effects)))?;
        }
        self.keeper.forget_effects();
        Ok(())
    }

    /// What pools should be is asked of the balancer as it is now, so it does not matter how often one is named.
    fn settle_table(&mut self, actions: &[Action]) {
        let mut pools = BTreeSet::new();
        let mut withdrawn = Vec::new();
        for action in actions {
            match action {
                Action::Reconcile(pool) => drop(pools.insert(*pool)),
                Action::Withdraw(service) => withdrawn.push(*service),
                _ => {}
            }
        }
        let balancer = &self.balancer;
        self.keeper.settle(withdrawn, pools.into_iter().map(|pool| (pool, balancer.desired(pool).collect())));
    }

    /// A pool's repairs are told as its other events are.
    fn explain_repairs(&mut self) -> anyhow::Result<()> {
        let trigger = "somebody else changed the table";
        for (service, what) in self.keeper.take_repairs() {
            let pools = &self.book.config.pools;
            let pool = service.and_then(|service| pools.iter().position(|pool| pool.services.contains(&service)));
            let Some(pool) = pool.and_then(|at| u32::try_from(at).ok()) else {
                tracing::warn!(target: "balance", "{trigger}, and it is put right: {what}");
                continue;
            };
            let explanation = evenkeel_balance::Explanation {
                pool: PoolId(pool),
                server: None,
                trigger: trigger.to_owned(),
                rule: "the table is what the configuration and the health of servers make it".to_owned(),
                decision: format!("it is put right: {what}"),
            };
            let explanation = Explanation::of_pool(explanation, &self.book.config, WallTime::now(), Vec::new());
            self.tell(&FromBalance::Explained(explanation))?;
        }
        Ok(())
    }

    fn begin_probe(&mut self, id: CheckId, run: u64, url: u32) -> anyhow::Result<()> {
        let server = self
            .book
            .config
            .pools
            .get(id.server.pool.0 as usize)
            .and_then(|p| p.servers.get(id.server.server as usize));
        let Some(check) = server.and_then(|server| server.checks.get(id.check as usize)) else { return Ok(()) };
        if let Probe::Misc { script, dynamic } = check.probe {
            self.under_way.insert(run, UnderWay::Script { check: id, asked_at: Instant::now(), dynamic });
            let number = self.book.number;
            return self.tell(&FromBalance::RunScript { number, run, script });
        }
        let (config, prober, ends) = (self.book.config.clone(), self.prober.clone(), self.ends.clone());
        let task = tokio::spawn(async move {
            let asked_at = Instant::now();
            let pool = &config.pools[id.server.pool.0 as usize];
            let server = &pool.servers[id.server.server as usize];
            let check = &server.checks[id.check as usize];
            let result = match check.target.as_ref().is_some_and(|target| target.via_dataplane) {
                true => data_path::probe(pool, server, check.timing.timeout).await,
                false => None,
            };
            let result = match result {
                Some(result) => Some(result),
                None => prober.probe(check, url).await,
            };
            if let Some(result) = result {
                let _ = ends.send(Ended { check: id, run, result, took: asked_at.elapsed() }).await;
            }
        });
        self.under_way.insert(run, UnderWay::Probe(task.abort_handle()));
        Ok(())
    }

    fn script_ended(&mut self, run: u64, outcome: ScriptEnd) -> anyhow::Result<()> {
        let Some(UnderWay::Script { check, asked_at, dynamic }) = self.under_way.remove(&run) else { return Ok(()) };
        let result = verdict(outcome, dynamic);
        self.handle(Event::Probed { check, run, result, took: asked_at.elapsed() })
    }

    fn tell(&mut self, message: &FromBalance) -> anyhow::Result<()> {
        match self.bus.send(message, Vec::new()) {
            // Its end shows at the next read.
            Ok(()) | Err(ChannelError::Closed) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What the end of a MISC_CHECK's program means. A program that cannot be started counts as a failure, where keepalived
/// takes its child's end for a success.
fn verdict(outcome: ScriptEnd, dynamic: bool) -> ProbeResult {
    let failed = |reason: String| ProbeResult::Failed { reason };
    match outcome {
        ScriptEnd::Exited(0) => ProbeResult::Passed { detail: "status 0".to_owned(), says: None },
        ScriptEnd::Exited(status) => match u8::try_from(status) {
            Ok(status @ 2..) if dynamic => {
                ProbeResult::Passed { detail: format!("status {status}"), says: Some(Says::ExitStatus(status)) }
            }
            _ => failed(format!("status {status}")),
        },
        ScriptEnd::Killed(signal) => failed(format!("killed by signal {signal}")),
        ScriptEnd::TimedOut => failed("timed out".to_owned()),
        ScriptEnd::NotStarted => failed("it could not be started".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_passes_by_status_0_and_when_dynamic_by_2_to_255_too() {
        let passes = |outcome, dynamic| matches!(verdict(outcome, dynamic), ProbeResult::Passed { .. });
        let rows = [
            (ScriptEnd::Exited(0), true, true),
            (ScriptEnd::Exited(1), false, false),
            (ScriptEnd::Exited(2), false, true),
            (ScriptEnd::Exited(255), false, true),
            (ScriptEnd::Killed(9), false, false),
            (ScriptEnd::TimedOut, false, false),
            (ScriptEnd::NotStarted, false, false),
        ];
        for (outcome, plain, dynamic) in rows {
            assert_eq!((passes(outcome, false), passes(outcome, true)), (plain, dynamic), "{outcome:?}");
        }
    }
}
