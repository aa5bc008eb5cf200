"""Runs holdfast-broker and holdfast-snapshotter until SIGINT, SIGTERM or SIGHUP.

Called by scripts/serve: supervise.py PROGRAMS DATA_DIR LOG_DIR [SETTING...]

Each program gets a session of its own, so that Ctrl-C reaches this script only, which then stops
both; if this script itself is killed, the kernel sends both SIGTERM (setpriv). The lines of each go
through a sed that puts its name before them and that goes on reading when the terminal is gone or
stopped: a log line must never stop a server.
"""

import asyncio
import os
import signal
import subprocess
import sys

RAN_WELL_S = 5  # who lived that long was started with good settings
RESET_S = 60  # who lived that long is restarted quickly again
DELAY_S_MAX = 30
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells say it
LAST_LINES_S = 5  # how long the last lines may take to the terminal


class Prefixer:
    """A pipe to standard output that puts [name] before each line."""

    def __init__(self, name):
        script = f"trap '' PIPE; sed -u 's/^/[{name}] /' 2>/dev/null; exec cat >/dev/null"
        self.process = subprocess.Popen(
            ["sh", "-c", script], stdin=subprocess.PIPE, start_new_session=True
        )
        self.pipe = self.process.stdin

    def finish(self):
        """All writers have ended: waits for what is still in the pipe."""
        self.pipe.close()
        try:
            self.process.wait(LAST_LINES_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)


class Server:
    """One of the two programs, with what is needed to start it again."""

    def __init__(self, name, command, environment):
        self.name = name
        self.command = ["setpriv", "--pdeathsig", "TERM", "--", *command]
        self.environment = environment
        self.prefixer = Prefixer(name)
        self.process = None
        self.ran_well = False
        self.quick_ends = 0

    async def run_once(self, stopping):
        """Starts the program and waits for its end. Returns (exit status, seconds lived)."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        # Not asyncio's subprocesses: with their thread the kernel would send its SIGTERM twice.
        self.process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.prefixer.pipe,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        ended = loop.create_future()
        descriptor = os.pidfd_open(self.process.pid)
        loop.add_reader(descriptor, ended.set_result, None)
        if stopping.is_set():  # it came while the program was being started
            self.process.terminate()
        await ended
        loop.remove_reader(descriptor)
        os.close(descriptor)
        status = self.process.wait()
        self.process = None
        return status, loop.time() - started

    def restart_delay(self, status, lived_s):
        """Seconds until the next start, or None if another start would not help."""
        if lived_s >= RAN_WELL_S:
            self.ran_well = True
        # Bad settings, a port in use, a locked directory do not mend themselves: stop while
        # somebody is watching. What was killed (status below 0) is always started again.
        if status == 2 or (status >= 0 and not self.ran_well):
            return None
        if lived_s >= RESET_S:
            self.quick_ends = 0
        delay_s = min(2**self.quick_ends, DELAY_S_MAX)
        self.quick_ends += 1
        return delay_s


class Supervisor:
    def __init__(self, programs, data_dir, log_dir, settings):
        self.stopping = asyncio.Event()
        self.interrupted = False
        self.voice = Prefixer("serve")
        os.set_blocking(self.voice.pipe.fileno(), False)
        self.servers = [
            Server(
                name,
                [os.path.join(programs, "holdfast-" + name), *settings],
                os.environ
                | {"DATA_DIR": data_dir, "LOG_FILE": os.path.join(log_dir, name + ".log")},
            )
            for name in ("broker", "snapshotter")
        ]
        self.say(f"session in {data_dir}, logs in {log_dir}; Ctrl-C stops")

    def say(self, text):
        try:
            os.write(self.voice.pipe.fileno(), (text + "\n").encode())
        except OSError:
            pass  # the terminal is stopped or gone

    def signal_all(self, number):
        # The broker first: it drains what it has received and tells the snapshotter its last word.
        for server in self.servers:
            if server.process is not None:
                server.process.send_signal(number)

    def stop(self):
        if self.stopping.is_set():
            self.interrupted = True
            self.say("ending both at once")
            self.signal_all(signal.SIGKILL)
        else:
            self.stopping.set()
            self.say("stopping: clients are told, the session is saved (again: end at once)")
            self.signal_all(signal.SIGTERM)

    async def keep_running(self, server):
        """Runs one program until all stop. Returns what this script should exit with."""
        while not self.stopping.is_set():
            status, lived_s = await server.run_once(self.stopping)
            code = status if status >= 0 else 128 - status
            if self.stopping.is_set():
                if code != 0:
                    self.say(f"the {server.name} ended with exit code {code}")
                return code
            delay_s = server.restart_delay(status, lived_s)
            if delay_s is None:
                self.say(f"the {server.name} could not start (exit code {code}, see its lines)")
                self.stop()
                return code or 1
            self.say(
                f"the {server.name} ended unexpectedly (exit code {code}); "
                f"starting it again in {delay_s} s"
            )
            try:
                await asyncio.wait_for(self.stopping.wait(), delay_s)
            except asyncio.TimeoutError:
                pass
        return 0

    async def run(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.stop)
        codes = await asyncio.gather(*(self.keep_running(server) for server in self.servers))
        self.say("stopped")
        for prefixer in [*(server.prefixer for server in self.servers), self.voice]:
            prefixer.finish()
        if self.interrupted:
            return EXIT_INTERRUPTED
        # Of two failures the one that is not merely our own signal to a process just starting.
        return min((code for code in codes if code != 0), default=0)


async def main():
    programs, data_dir, log_dir, *settings = sys.argv[1:]
    return await Supervisor(programs, data_dir, log_dir, settings).run()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
