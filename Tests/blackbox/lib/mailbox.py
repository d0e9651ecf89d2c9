"""A mail server that takes everything, and what it took."""

import json
import os
import subprocess
import sys
import threading


class MailServer:
    def __init__(self, directory):
        script = os.path.join(os.path.dirname(__file__), "../../servers/mail.py")
        self.process = subprocess.Popen([sys.executable, script, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = json.loads(self.process.stdout.readline())["port"]
        self.taken = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self.taken.append(json.loads(line))

    def letters(self, recipient):
        return [letter for letter in self.taken if recipient in letter.get("to", [])]

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)
