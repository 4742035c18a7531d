//! The lab as processes: one for each host, each with namespaces of its own, all of them dying with this one.

use super::act::Task;
use super::message::{Order, Report};
use super::network::Network;
use super::topology::Host;
use anyhow::{Context, Result, anyhow};
use evenkeel_kernel::{machine, netns};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

/// What the loop that drives the lab hears of.
#[derive(Debug)]
pub(super) enum News {
    /// A host reported something.
    Report(Host, Report),
    /// A host's first process is gone, which nobody asked for.
    Gone(Host),
    /// Somebody pressed a key, or changed the size of the terminal.
    Terminal(ratatui::crossterm::event::Event),
    /// `lab down`, or a signal.
    Down,
}

/// All hosts, at work.
pub(super) struct World {
    network: Network,
    hosts: BTreeMap<Host, Running>,
}

struct Running {
    pid: u32,
    orders: PipeWriter,
    /// Started the host's first process, and must live as long as it: the kernel takes its end for the parent's.
    pump: JoinHandle<()>,
}

impl World {
    /// Builds the network and starts the hosts. What they report goes to `news`.
    pub(super) fn build(news: &SyncSender<News>) -> Result<Self> {
        let mut world = World { network: Network::build()?, hosts: BTreeMap::new() };
        for host in Host::ALL {
            let running = world.start(host, news.clone()).with_context(|| format!("start {host}"))?;
            world.hosts.insert(host, running);
        }
        Ok(world)
    }

    fn start(&self, host: Host, news: SyncSender<News>) -> Result<Running> {
        let (orders_in, orders) = std::io::pipe().context("make a pipe")?;
        let (reports, reports_out) = std::io::pipe().context("make a pipe")?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("evenkeel")
            .args(["lab", "--host-init", host.name()])
            .stdin(orders_in)
            .stdout(reports_out.try_clone().context("copy a descriptor")?)
            .stderr(reports_out)
            // Ctrl-C in the terminal is the lab's alone.
            .process_group(0);
        netns::in_namespace(&mut command, self.network.of(host))?;
        let (started, start) = mpsc::channel();
        let pump = thread::Builder::new().name(host.name().to_owned()).spawn(move || {
            let child = machine::unshare().map_err(anyhow::Error::from).and_then(|()| Ok(command.spawn()?));
            // It holds copies of the pipes, which would keep their other ends waiting.
            drop(command);
            match child {
                Ok(child) => {
                    let _ = started.send(Ok(child.id()));
                    pump_reports(host, reports, child, &news);
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?;
        let pid = start.recv().map_err(|_| anyhow!("the thread of {host} ended"))??;
        Ok(Running { pid, orders, pump })
    }

    /// The first process of a host, as this process numbers it.
    pub(super) fn pid(&self, host: Host) -> u32 {
        self.hosts[&host].pid
    }

    /// Does something to the lab.
    pub(super) fn perform(&mut self, task: &Task) -> Result<()> {
        match task {
            Task::Tell(host, order) => self.tell(*host, order),
            Task::PullCable(host) => Ok(self.network.plug(*host, false)?),
            Task::PlugCable(host) => Ok(self.network.plug(*host, true)?),
            Task::DropVrrp(host) => Ok(self.network.drop_vrrp(*host)?),
            Task::AcceptVrrp(host) => Ok(self.network.accept_vrrp(*host)?),
        }
    }

    fn tell(&mut self, host: Host, order: &Order) -> Result<()> {
        let running = self.hosts.get_mut(&host).context("no such host")?;
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        running.orders.write_all(&line).with_context(|| format!("tell {host} something"))
    }
}

impl Drop for World {
    /// Closes the hosts' inputs, which ends their first processes, and with these all others; waits until that is done.
    fn drop(&mut self) {
        let (orders, pumps): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.hosts).into_values().map(|running| (running.orders, running.pump)).unzip();
        drop(orders);
        for pump in pumps {
            let _ = pump.join();
        }
    }
}

/// Passes on what a host reports, until it is gone. When the lab is ending, nobody listens any more.
fn pump_reports(host: Host, reports: PipeReader, mut child: Child, news: &SyncSender<News>) {
    for line in BufReader::new(reports).split(b'\n').map_while(|line| line.ok()) {
        // What is no report comes from a panic, or a program under `lab exec` that writes where it should not.
        let report = serde_json::from_slice(&line)
            .unwrap_or_else(|_| Report::Failed { reason: String::from_utf8_lossy(&line).into_owned() });
        let _ = news.send(News::Report(host, report));
    }
    let _ = child.wait();
    let _ = news.send(News::Gone(host));
}
