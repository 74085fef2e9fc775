# Runs a command on a terminal of its own. Reads steps from standard input, one a line as JSON, and prints what the terminal showed as JSON:
#   {"expect": TEXT}   waits until the output has it
#   {"type": TEXT}     types it
#   {"resize": [ROWS, COLUMNS]}
#   {"signal": "INT"}  sends the signal to the command
# At the end: {"output": ..., "status": ..., "restored": whether the settings of the terminal are as before}
import fcntl, json, os, pty, select, signal, struct, sys, termios

def size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

steps = json.loads(sys.argv[1])
controller, terminal = pty.openpty()
size(terminal, 24, 80)
before = termios.tcgetattr(terminal)
which = sys.argv[2]
child = os.fork()
if child == 0:
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for fd, letter in ((0, "i"), (1, "o"), (2, "e")):
        if letter in which:
            os.dup2(terminal, fd)
    os.close(controller)
    os.execvp(sys.argv[3], sys.argv[3:])
output = b""
begin = 0

def pump(timeout):
    global output
    ready, _, _ = select.select([controller], [], [], timeout)
    if not ready:
        return False
    try:
        data = os.read(controller, 65536)
    except OSError:
        return False
    output += data
    return bool(data)

for step in steps:
    if "expect" in step:
        wanted = step["expect"].encode()
        while output.find(wanted, begin) < 0:
            if not pump(20):
                print(json.dumps({"output": output.decode("utf-8", "replace"), "missing": step["expect"]}))
                os.kill(child, signal.SIGKILL)
                sys.exit(1)
        begin = output.find(wanted, begin) + len(wanted)
    elif "type" in step:
        os.write(controller, step["type"].encode())
    elif "resize" in step:
        size(terminal, *step["resize"])
    elif "signal" in step:
        os.kill(child, getattr(signal, "SIG" + step["signal"]))
_, status = os.waitpid(child, 0)
while pump(0.1):
    pass
print(json.dumps({
    "output": output.decode("utf-8", "replace"),
    "status": os.waitstatus_to_exitcode(status),
    "restored": termios.tcgetattr(terminal) == before,
}))
