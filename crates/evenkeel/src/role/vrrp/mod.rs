//! The vrrp role: one loop that waits for packet, netlink, bus or deadline, calls the core, and performs its actions.
//!
//! No runtime and no second thread: an advert waits for nothing but the loop itself and, where adverts come thick, for
//! those that the next 2 ms bring ([`pace`]).

mod beats;
mod bfd;
mod filter;
mod holdings;
mod kernel;
mod lateness;
mod network;
mod own_links;
mod pace;
mod perform;
mod phrases;
mod recorder;
mod routing;
mod sockets;
mod wall;
mod watch;

use bfd::{Bfd, Word};
use evenkeel_bus::{Channel, ChannelError, FromVrrp, ToVrrp, VrrpOptions};
use evenkeel_kernel::netlink::{Monitor, RoutingMonitor};
use evenkeel_kernel::poll::{Interest, Timer, Token};
use evenkeel_kernel::privilege::{self, Capability};
use evenkeel_kernel::vrrp_socket::BATCH;
use evenkeel_kernel::{clock, memory};
use evenkeel_vrrp::{Action, Config, Event, InstanceId, Router};
use evenkeel_wire::Instant;
use kernel::Kernel;
use lateness::{Due, Lateness};
use pace::{Pace, Reading};
use recorder::Recorder;
use std::time::Duration;
use wall::Wall;
use watch::{BUS, MONITOR, ROUTING, Socket, TIMER, Watch};

/// ARPs, or what IPv6 has instead, taken from one socket before others get their turn.
const BURST: usize = 64;

/// After so long without a decision, what decisions need is given back: the memory that they took, and their code.
const QUIET: Duration = Duration::from_secs(10);

/// Runs until told to stop, or until the bus closes.
pub fn run(mut bus: Channel) -> anyhow::Result<()> {
    // Privileged code does not limp on: the supervisor starts it anew, from the kernel's state.
    std::panic::set_hook(Box::new(|info| {
        tracing::error!(target: "vrrp", "panic: {info}");
        std::process::abort();
    }));
    let Some(First { number, config, bfd, options, known }) = await_configuration(&mut bus)? else { return Ok(()) };
    let started = match give_up_privileges() {
        Ok(()) => VrrpRole::new(bus, config, bfd, &options),
        Err(error) => Err(Box::new((bus, error))),
    };
    let mut role = match started {
        Ok(role) => role,
        Err(failed) => {
            let (mut bus, error) = *failed;
            let refused = FromVrrp::ConfigureFailed { number, reason: error.to_string() };
            let _ = bus.send_blocking(&refused, Duration::from_secs(1));
            return Err(error);
        }
    };
    role.run(number, known)
}

/// What a process starts with.
struct First {
    number: u64,
    config: Config,
    bfd: evenkeel_bfd::Config,
    options: VrrpOptions,
    known: Vec<Event>,
}

fn await_configuration(bus: &mut Channel) -> anyhow::Result<Option<First>> {
    loop {
        match bus.receive_blocking(Duration::from_secs(60)) {
            Ok(received) => match received.message {
                ToVrrp::Configure { number, config, bfd, options, known } => {
                    return Ok(Some(First { number, config, bfd, options, known }));
                }
                ToVrrp::Stop => return Ok(None),
                ToVrrp::Event(_) | ToVrrp::Status { .. } => {}
            },
            Err(ChannelError::Closed) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

fn give_up_privileges() -> anyhow::Result<()> {
    privilege::keep_only(&[Capability::NetAdmin, Capability::NetRaw])?;
    Ok(privilege::no_new_privileges()?)
}

struct VrrpRole {
    bus: Channel,
    watch: Watch,
    pace: Pace,
    timer: Timer,
    monitor: Monitor,
    /// Open while there are routes or rules to watch over.
    routing: Option<RoutingMonitor>,
    kernel: Kernel,
    router: Router,
    bfd: Bfd,
    config: Config,
    recorder: Option<Recorder>,
    keep_addresses: bool,
    tells_addresses: bool,
    log_unknown_vrids: bool,
    late_after: Option<Duration>,
    wall: Wall,
    actions: Vec<Action>,
    /// From when on the router's deadline is due.
    due: Due,
    lateness: Lateness,
    /// What the timer is set to.
    timer_at: Option<Instant>,
    /// What the bus is watched for.
    bus_interest: Interest,
    /// The core asked for a comparison of the addresses.
    is_comparison_due: bool,
    stopped: bool,
    /// When it has been quiet for long enough; `None` when it was and nothing happened since.
    quiet_at: Option<Instant>,
}

impl VrrpRole {
    fn new(
        bus: Channel,
        config: Config,
        bfd: evenkeel_bfd::Config,
        options: &VrrpOptions,
    ) -> Result<Self, Box<(Channel, anyhow::Error)>> {
        let open = || -> anyhow::Result<_> {
            let watch = Watch::new()?;
            let timer = Timer::new()?;
            // Before the first listing, so that nothing falls between.
            let monitor = Monitor::open()?;
            watch.add_urgent(&bus, BUS)?;
            watch.add_urgent(&timer, TIMER)?;
            watch.add_urgent(&monitor, MONITOR)?;
            Ok((watch, timer, monitor, Kernel::open(&config)?))
        };
        let (watch, timer, monitor, kernel) = match open() {
            Ok(opened) => opened,
            Err(error) => return Err(Box::new((bus, error))),
        };
        let seed = crate::supervisor::seed();
        let recorder = options.record.as_deref().and_then(|path| Recorder::start(path, &config, seed));
        Ok(VrrpRole {
            bus,
            watch,
            pace: Pace::new(clock::now()),
            timer,
            monitor,
            routing: None,
            kernel,
            router: Router::new(config.clone(), seed),
            bfd: Bfd::new(bfd, seed),
            config,
            recorder,
            keep_addresses: options.keep_addresses,
            tells_addresses: options.tells_addresses,
            log_unknown_vrids: options.log_unknown_vrids,
            late_after: options.late_after,
            wall: Wall::default(),
            actions: Vec::new(),
            due: Due::default(),
            lateness: Lateness::default(),
            timer_at: None,
            bus_interest: Interest::Read,
            is_comparison_due: false,
            stopped: false,
            quiet_at: None,
        })
    }

    fn run(&mut self, number: u64, known: Vec<Event>) -> anyhow::Result<()> {
        for event in &known {
            if let Event::Resume { instance, .. } = event {
                self.kernel.resume(*instance, &self.config);
            }
        }
        self.watch_routing()?;
        self.kernel.clean_leftovers();
        for event in known {
            self.handle(event)?;
        }
        // Before any interface: no instance is to be master beside a neighbour that nobody has looked for.
        self.begin_sessions()?;
        self.report_interfaces()?;
        self.mend_statics()?;
        self.report_absent();
        self.tell(&FromVrrp::Ready { number })?;
        memory::forget_idle();
        // What came together with the configuration is read already, and nothing would wake us for it.
        if !self.read_bus()? {
            return self.leave();
        }
        let mut ready = Vec::new();
        while !self.stopped {
            self.kernel.settle();
            self.arm()?;
            self.watch.wait(&mut ready, self.pace.span())?;
            // First: what a deadline or an ARP means depends on what was heard before it.
            self.read_adverts(&ready)?;
            let words = self.bfd.read(&ready, &self.watch);
            self.pass_on(words)?;
            for token in ready.drain(..) {
                if self.stopped {
                    break;
                }
                match token {
                    BUS => {
                        if !self.read_bus()? {
                            // The supervisor is gone: leave as if told to, so that no address stays without an owner.
                            return self.leave();
                        }
                    }
                    TIMER => {
                        if self.timer.drain()? {
                            self.timer_at = None;
                            self.serve_deadlines()?;
                        }
                    }
                    MONITOR => self.read_monitor()?,
                    ROUTING => self.read_routing()?,
                    // Adverts, and what BFD sent, have been read above.
                    token => self.read_neighbours(token)?,
                }
            }
        }
        if !self.keep_addresses {
            self.kernel.release_all();
        }
        self.bus.send_blocking(&FromVrrp::Stopped, Duration::from_secs(1))?;
        Ok(())
    }

    /// Without a supervisor there is nobody to hand over in peace for: say that we leave, and let go at once.
    fn leave(&mut self) -> anyhow::Result<()> {
        tracing::error!(target: "vrrp", "the supervisor is gone");
        if !self.keep_addresses {
            let handled = self.handle(Event::Shutdown);
            self.kernel.release_all();
            handled?;
        }
        Ok(())
    }

    /// The sessions first: what tracks one is to know before it speaks.
    fn serve_deadlines(&mut self) -> anyhow::Result<()> {
        let now = clock::now();
        if self.bfd.deadline().is_some_and(|deadline| deadline <= now) {
            self.measure(now, self.bfd.due().lateness(now))?;
            let words = self.bfd.deadline_came(&self.watch);
            self.pass_on(words)?;
        }
        let now = clock::now();
        if self.router.deadline().is_some_and(|deadline| deadline <= now) {
            self.measure(now, self.due.lateness(now))?;
            self.handle(Event::Deadline)?;
        }
        if self.kernel.beats.deadline().is_some_and(|deadline| deadline <= now) && self.kernel.beats.ask(now) {
            self.report_interfaces()?;
        }
        if std::mem::take(&mut self.is_comparison_due) {
            self.compare()?;
        }
        if self.quiet_at.is_some_and(|quiet_at| quiet_at <= now) {
            self.quiet_at = None;
            memory::forget_idle();
        }
        Ok(())
    }

    fn measure(&mut self, now: Instant, late: Option<Duration>) -> anyhow::Result<()> {
        let late = late.unwrap_or_default();
        if let Some(n_late) = self.lateness.served(now, late) {
            let late = late.as_millis();
            tracing::warn!(target: "vrrp", since_last_warning = n_late, "a deadline was served {late} ms late");
        }
        if self.late_after.is_some_and(|after| late >= after) {
            self.tell(&FromVrrp::Late { by: late })?;
        }
        Ok(())
    }

    fn arm(&mut self) -> anyhow::Result<()> {
        // A timer that is set too early is left alone: with many backups each advert puts a deadline off, and
        // setting the timer each time would cost more than the few wake-ups for nothing. The core does the same.
        let deadlines = [self.router.deadline(), self.bfd.deadline(), self.kernel.beats.deadline()];
        if let Some(deadline) = deadlines.into_iter().flatten().min()
            && self.timer_at.is_none_or(|timer_at| deadline < timer_at)
        {
            self.timer.set(Some(deadline))?;
            self.timer_at = Some(deadline);
        }
        let interest = if self.bus.wants_write() { Interest::ReadAndWrite } else { Interest::Read };
        if interest != self.bus_interest {
            self.watch.change_urgent(&self.bus, BUS, interest)?;
            self.bus_interest = interest;
        }
        Ok(())
    }

    /// False when the bus is closed.
    fn read_bus(&mut self) -> anyhow::Result<bool> {
        match self.bus.flush() {
            // The end shows at the read below, where leaving is orderly.
            Ok(()) | Err(ChannelError::Closed) => {}
            Err(error) => return Err(error.into()),
        }
        loop {
            let message = match self.bus.receive::<ToVrrp>() {
                Ok(Some(received)) => received.message,
                Ok(None) => return Ok(true),
                Err(ChannelError::Closed) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            match message {
                ToVrrp::Configure { number, config, bfd, options, known: _ } => {
                    self.log_unknown_vrids = options.log_unknown_vrids;
                    self.late_after = options.late_after;
                    self.reconfigure(number, config, bfd)?;
                }
                ToVrrp::Event(event) => self.handle(event)?,
                ToVrrp::Status { id } => {
                    let now = clock::now();
                    let (status, bfd) = (self.router.status(now), self.bfd.status(now));
                    self.tell(&FromVrrp::Status { id, status, bfd, lateness: self.lateness.view() })?;
                }
                ToVrrp::Stop if self.keep_addresses => {
                    self.stopped = true;
                    return Ok(true);
                }
                ToVrrp::Stop => self.handle(Event::Shutdown)?,
            }
        }
    }

    fn reconfigure(&mut self, number: u64, config: Config, bfd: evenkeel_bfd::Config) -> anyhow::Result<()> {
        // First, so that what tracks a session of the new configuration knows it.
        self.bfd.reconfigure(bfd);
        self.begin_sessions()?;
        let now = clock::now();
        self.tell_time(now);
        if let Some(recorder) = &mut self.recorder {
            recorder.reconfigure(now, &config);
        }
        let old = std::mem::replace(&mut self.config, config.clone());
        self.kernel.make_own_links(&self.config)?;
        let mut actions = Vec::new();
        self.router.reconfigure(now, config, &mut actions);
        self.quiet_at = Some(now + QUIET);
        self.kernel.begin_reload(&self.config, &actions);
        self.due.note(now, self.router.deadline());
        let n_instances = self.config.instances.len();
        let name = |id: InstanceId| match id.departed(n_instances) {
            Some(at) => old.instances.get(at).map(|instance| instance.name.clone()),
            None => None,
        };
        self.perform(actions, &name)?;
        self.kernel.end_reload(&self.config);
        self.watch_routing()?;
        self.report_interfaces()?;
        self.mend_statics()?;
        self.report_absent();
        self.tell(&FromVrrp::Ready { number })
    }

    /// Tells followers of new sessions, and opens what those need.
    fn begin_sessions(&mut self) -> anyhow::Result<()> {
        let news = self.bfd.news();
        self.pass_on(news)?;
        let tracks = self.config.instances.iter().flat_map(|instance| &instance.tracks);
        let without = tracks.filter_map(bfd::tracked).filter(|name| !self.bfd.tells_vrrp(name));
        // As in keepalived what tracks a session that cannot run, or that -B keeps from running, takes it to be down.
        for session in without.map(str::to_owned).collect::<Vec<_>>() {
            let reason = "there is no such session".to_owned();
            self.handle(Event::Bfd { session, up: false, reason })?;
        }
        let words = self.bfd.handle(evenkeel_bfd::Event::Deadline, &self.watch);
        self.pass_on(words)
    }

    /// Tells virtual routers and supervisor what sessions did.
    fn pass_on(&mut self, words: Vec<Word>) -> anyhow::Result<()> {
        for word in words {
            match word {
                Word::Report(report) => {
                    if report.to_checker {
                        self.tell(&FromVrrp::Bfd { session: report.session.clone(), up: report.up })?;
                    }
                    if report.to_vrrp {
                        bfd::log_report(&report, &self.config);
                        let bfd::Report { session, up, reason, .. } = report;
                        self.handle(Event::Bfd { session, up, reason })?;
                    }
                }
                Word::Explained(explanation) => self.tell(&FromVrrp::Explained(explanation))?,
            }
        }
        Ok(())
    }

    /// One batch from each socket that has adverts; what is left shows at the next wait.
    fn read_adverts(&mut self, ready: &[Token]) -> anyhow::Result<()> {
        let mut reading = Reading::default();
        for token in ready {
            let Some((socket, interface)) = Socket::from_token(*token) else { continue };
            if socket.has_adverts() {
                let n_packets = self.read_batch(socket, interface)?;
                reading.n_packets += n_packets;
                reading.left_some |= n_packets == BATCH;
            }
        }
        self.pace.count(clock::now(), reading, || self.router.shortest_interval());
        Ok(())
    }

    fn read_batch(&mut self, socket: Socket, interface: u32) -> anyhow::Result<usize> {
        let n_packets = self.kernel.sockets.receive_packets(interface, socket);
        let interface = self.kernel.below(interface);
        let now = clock::now();
        if n_packets > 0 {
            self.tell_time(now);
        }
        for at in 0..n_packets {
            let Some(datagram) = self.kernel.sockets.packet(at) else { break };
            if let Some(recorder) = &mut self.recorder {
                recorder.packet(now, interface, &self.config, datagram);
            }
            self.router.receive(now, interface, datagram, &mut self.actions);
            self.perform_decided()?;
        }
        self.due.note(now, self.router.deadline());
        Ok(n_packets)
    }

    fn tell_time(&mut self, now: Instant) {
        let Some(event) = self.wall.news(&self.config, now) else { return };
        if let Some(recorder) = &mut self.recorder {
            recorder.event(now, &event);
        }
        self.router.handle(now, event, &mut self.actions);
    }

    fn read_neighbours(&mut self, token: Token) -> anyhow::Result<()> {
        let Some((Socket::Neighbours(family), interface)) = Socket::from_token(token) else { return Ok(()) };
        for _ in 0..BURST {
            let Some(event) = self.kernel.receive_neighbour(interface, family) else { break };
            self.handle(event)?;
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> anyhow::Result<()> {
        let now = clock::now();
        self.tell_time(now);
        if let Some(recorder) = &mut self.recorder {
            recorder.event(now, &event);
        }
        self.router.handle(now, event, &mut self.actions);
        self.due.note(now, self.router.deadline());
        self.perform_decided()
    }

    /// A supervisor that does not read is no reason to stop advertising: what does not fit is lost, and said so.
    fn tell(&mut self, message: &FromVrrp) -> anyhow::Result<()> {
        match self.bus.send(message) {
            Ok(()) => Ok(()),
            Err(ChannelError::Full) => {
                tracing::warn!(target: "vrrp", "the supervisor does not read; a message to it is lost");
                Ok(())
            }
            Err(ChannelError::Frame(error)) => {
                tracing::warn!(target: "vrrp", "a message to the supervisor is lost: {error}");
                Ok(())
            }
            // Its end shows at the next read, where leaving is orderly.
            Err(ChannelError::Closed) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
