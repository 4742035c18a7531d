//! The states of one virtual router, each with its own deadlines and data.
//!
//! ```text
//!            interface known,            master down timer
//!            trackers have run           ran out
//!   Init ----------------------> Backup ------------------> Master
//!    |                           ^  ^ |                      | |  ^
//!    |        recovered          |  | | Fault   higher prio, | |  | nobody took over,
//!    +-------> Fault ------------+  | v         failover,    | |  | successor left again
//!                ^                  | Fault     shutdown     v |  |
//!                |                  +---------------------- Leaving
//!                +----------------------------------------------+      any ---- shutdown ----> Stopped
//! ```
//!
//! The owner (priority 255) goes from Init and Fault to Master without Backup, and so does from Init, for a moment, one
//! whose process died as master.

use crate::event::StateName;
use crate::timers;
use evenkeel_wire::{Instant, Mac};
use std::net::IpAddr;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "each instance may be master, so that nothing is won by a box")]
pub(crate) enum State {
    /// The interface has not been reported yet, or an unweighted tracker has not.
    Init(Init),
    Backup(Backup),
    Master(Master),
    Leaving(Leaving),
    Fault,
    Stopped,
}

/// Not started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Init {
    /// A process that was master died a moment ago: to start before this instant is to go on as master. What it held is
    /// left where it is until then.
    pub(crate) resume_until: Option<Instant>,
    /// `vrrp_startup_delay` and `vrrp_delay_after_boot`: nothing is done before this instant.
    pub(crate) delayed_until: Option<Instant>,
}

/// Waiting for the master to fall silent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Backup {
    /// When the running timer was started.
    pub(crate) started_at: Instant,
    /// When it runs out and this node takes over.
    pub(crate) master_down_at: Instant,
    /// What started it.
    pub(crate) timer: DownTimer,
    /// `preempt_delay`: until then adverts of lower priority are accepted.
    pub(crate) preempt_at: Option<Instant>,
    /// An advert of lower priority was ignored since the timer started.
    pub(crate) ignored: Option<(IpAddr, u8)>,
    /// The timer ran out, and other members of the sync group were not ready: master together with them.
    pub(crate) is_held: bool,
    /// That was told.
    pub(crate) was_told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DownTimer {
    /// The whole master down interval.
    MasterDown,
    /// The skew alone, since the master said that it leaves.
    Skew,
}

/// Holding the addresses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Master {
    pub(crate) entered_at: Instant,
    pub(crate) advert_at: Instant,
    /// The second burst of gratuitous ARP.
    pub(crate) burst: Option<Burst>,
    pub(crate) refresh_at: Option<Instant>,
    /// The next announcement on other interfaces.
    pub(crate) extra_at: Option<Instant>,
    pub(crate) probe_at: Instant,
    /// The last advert of lower priority.
    pub(crate) rival_at: Option<Instant>,
    /// Somebody else spoke for a held address, and no advert has explained it yet.
    pub(crate) suspect: Option<Claim>,
    /// Somebody else speaks for a held address.
    pub(crate) conflict: Option<Claim>,
    /// Another owner of the addresses should have yielded by then.
    pub(crate) judge_at: Option<Instant>,
    /// After a conflict.
    pub(crate) reminder: Option<Reminder>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Burst {
    pub(crate) at: Instant,
    pub(crate) count: u8,
}

/// Announcements after a conflict, each pause twice as long as the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reminder {
    pub(crate) at: Instant,
    pause: Duration,
    /// When the last one is due.
    last_at: Instant,
}

/// Evidence of another owner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Claim {
    pub(crate) address: IpAddr,
    pub(crate) mac: Mac,
    pub(crate) first_at: Instant,
    pub(crate) last_at: Instant,
}

/// Answering for the addresses until a successor has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Leaving {
    pub(crate) why: Leave,
    pub(crate) entered_at: Instant,
    /// When the addresses are released at the latest: soon after the successor's advert, or when nobody came.
    pub(crate) release_at: Instant,
    /// Whose advert was heard, and when last.
    pub(crate) successor: Option<(IpAddr, Instant)>,
    /// The successor has not announced itself, and was asked to.
    pub(crate) has_asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    Shutdown,
    Failover,
    /// A master of higher priority was heard.
    Yield,
    /// Another member of the sync group gave way.
    Group,
}

impl State {
    pub(crate) fn name(&self) -> StateName {
        match self {
            State::Init(_) => StateName::Init,
            State::Backup(_) => StateName::Backup,
            State::Master(_) => StateName::Master,
            State::Leaving(_) => StateName::Leaving,
            State::Fault => StateName::Fault,
            State::Stopped => StateName::Stopped,
        }
    }

    /// Whether this node answers for the addresses.
    pub(crate) fn is_holding(&self) -> bool {
        match self {
            State::Master(_) | State::Leaving(_) => true,
            State::Init(_) | State::Backup(_) | State::Fault | State::Stopped => false,
        }
    }

    /// The earliest of the state's instants.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            State::Backup(backup) => Some(backup.master_down_at),
            State::Master(master) => Some(master.deadline()),
            State::Leaving(leaving) => Some(leaving.release_at),
            State::Init(init) => init.resume_until.or(init.delayed_until),
            State::Fault | State::Stopped => None,
        }
    }
}

impl Reminder {
    pub(crate) fn begin(now: Instant) -> Self {
        let pause = timers::FIRST_REMINDER;
        Reminder { at: now + pause, pause, last_at: now + timers::REMINDERS_FOR }
    }

    /// After a contradiction that is no conflict; not sooner for a second one, since two may contradict each other.
    pub(crate) fn begin_soon(now: Instant, present: Option<Self>) -> Self {
        let soon = Reminder { at: now + timers::CONTRADICTED, ..Reminder::begin(now) };
        present.filter(|present| present.at <= soon.at).unwrap_or(Reminder { pause: soon.pause / 2, ..soon })
    }

    /// The one after that of `now`; `None` after the last.
    pub(crate) fn next(self, now: Instant) -> Option<Self> {
        let pause = self.pause * 2;
        (self.at < self.last_at).then(|| Reminder { at: self.last_at.min(now + pause), pause, ..self })
    }
}

impl Master {
    fn deadline(&self) -> Instant {
        let optional = [
            self.burst.map(|burst| burst.at),
            self.refresh_at,
            self.extra_at,
            self.judge_at,
            self.suspect.map(|claim| claim.first_at + timers::CLAIM_GRACE),
            self.conflict.map(|claim| claim.last_at + timers::CONFLICT_QUIET),
            self.reminder.map(|reminder| reminder.at),
        ];
        optional.into_iter().flatten().fold(self.advert_at.min(self.probe_at), Instant::min)
    }
}
