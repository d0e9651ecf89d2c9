// Writes over HTTP, and looks elsewhere for what was written:
//   writes PORT CONNECTIONS SECONDS REQUESTS [rate=N] [watch=PORT] [lists=N] [answers=FILE] [from=N]  ->  one line of JSON.
// REQUESTS has one request a line: METHOD, path, access token, body and version, with tabs between. In a body, `{n}` becomes a number that
// counts up from `from`. Each connection asks again when it is answered; with `rate`, requests leave N a second however long answers
// take, and latencies count from when a request was due. No two requests of one line are under way at once, but for POSTs.
// With `watch`, the path of each PATCH is read on that port every millisecond or two from when the PATCH was sent until a later version
// than the line's shows; with `lists`, every N-th is looked for in `/api/beats?tags=w{n}&limit=1` as well. `answers` gets the id of each answer.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { room = 1 << 17, mostSamples = 1 << 22, watchers = 128, pollPause = 1000, patience = 5000000 };

typedef struct {
    char *method, *path, *token, *body;
    int64_t version;
    int isBusy;
} Line;

typedef struct {
    int64_t *values;
    size_t count;
} Samples;

typedef struct Connection {
    int socket, port, isWriter, isAsking, isList;
    size_t used;
    char *in;
    int64_t due, sent, answered; // of a watcher: when the write was sent, and when it was answered; 0 while it is not
    Line *line;                  // what is written or watched; NULL where nothing is
    int64_t wanted, next;        // of a watcher: the version it looks for, and when it asks again
    char path[320];
} Connection;

static Line *lines;
static size_t lineCount, turn, errors, unseen, unwatched, early;
static Samples latency, visible, listed, late;
static Connection *writing, watching[watchers];
static int events, writerCount, watchPort, every;
static int64_t number, end;
static FILE *answers;

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void add(Samples *samples, int64_t value) {
    if (!samples->values && !(samples->values = malloc(mostSamples * sizeof *samples->values))) exit((perror("memory"), 1));
    if (samples->count < mostSamples) samples->values[samples->count++] = value > 0 ? value : 0;
}

static void openSocket(Connection *connection) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)connection->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->socket < 0 || connect(connection->socket, (struct sockaddr *)&address, sizeof address)) exit((perror("connect"), 1));
    int one = 1;
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(events, EPOLL_CTL_ADD, connection->socket, &event);
}

static void prepare(Connection *connection, int port, int isWriter) {
    *connection = (Connection){.port = port, .isWriter = isWriter, .in = malloc(room + 1)};
    if (!connection->in) exit((perror("memory"), 1));
    openSocket(connection);
}

static void transmit(Connection *connection, const char *bytes, size_t length) {
    connection->used = 0;
    connection->isAsking = 1;
    while (length) {
        ssize_t count = send(connection->socket, bytes, length, MSG_NOSIGNAL);
        if (count < 0) return; // The end of the connection is read like an answer.
        bytes += count;
        length -= (size_t)count;
    }
}

static void look(Connection *watcher) {
    char request[512];
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", watcher->path);
    transmit(watcher, request, (size_t)length);
}

static void watch(Line *line, int64_t sent, int isList, int64_t serial) {
    for (int index = 0; index < watchers; index++) {
        Connection *watcher = &watching[index];
        if (watcher->line || watcher->isAsking) continue;
        watcher->line = line;
        watcher->sent = sent;
        watcher->answered = 0;
        watcher->wanted = line->version + 1;
        watcher->isList = isList;
        watcher->next = INT64_MAX;
        if (isList) snprintf(watcher->path, sizeof watcher->path, "/api/beats?tags=w%lld&limit=1", (long long)serial);
        else snprintf(watcher->path, sizeof watcher->path, "%s", line->path);
        return look(watcher);
    }
    unwatched++;
}

static Line *nextLine(void) {
    for (size_t tries = 0; tries < lineCount; tries++) {
        Line *line = &lines[turn++ % lineCount];
        if (!line->isBusy) return line;
    }
    return NULL;
}

static void ask(Connection *writer, int64_t due) {
    static char request[room], body[room];
    Line *line = nextLine();
    if (!line) return;
    size_t length = 0;
    int64_t serial = number++;
    for (const char *from = line->body; *from && length < sizeof body - 32;) {
        if (strncmp(from, "{n}", 3)) body[length++] = *from++;
        else length += (size_t)sprintf(body + length, "%lld", (long long)serial), from += 3;
    }
    int head = snprintf(
        request, sizeof request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
        line->method, line->path, line->token, length);
    if ((size_t)head + length > sizeof request) exit((fprintf(stderr, "a request is too long\n"), 1));
    memcpy(request + head, body, length);
    writer->line = line;
    writer->due = due;
    line->isBusy = strcmp(line->method, "POST") != 0;
    transmit(writer, request, (size_t)head + length);
    if (!watchPort) return;
    watch(line, now(), 0, serial);
    if (every && serial % every == 0) watch(line, now(), 1, serial);
}

static int64_t versionIn(const char *body) {
    const char *found = strstr(body, "\"version\":");
    return found ? atoll(found + 10) : 0;
}

static void written(Connection *writer, int status, const char *body) {
    Line *line = writer->line;
    int64_t time = now(), version = versionIn(body);
    int isDone = status >= 200 && status < 300;
    writer->line = NULL;
    line->isBusy = 0;
    add(&latency, time - writer->due);
    if (!isDone && !errors++) fprintf(stderr, "%s %s: %d %.300s\n", line->method, line->path, status, body);
    const char *id = strstr(body, "\"id\":\"");
    if (isDone && answers && id) fprintf(answers, "%.36s\n", id + 6);
    for (int index = 0; index < watchers; index++) {
        Connection *watcher = &watching[index];
        if (watcher->line != line || watcher->answered) continue;
        watcher->answered = time;
        if (!isDone) watcher->line = NULL;
    }
    if (isDone && version > line->version) line->version = version;
}

static void seen(Connection *watcher, int status, const char *body) {
    int64_t time = now();
    if (!watcher->line) return;
    if (status == 200 && versionIn(body) >= watcher->wanted) {
        add(watcher->isList ? &listed : &visible, time - watcher->sent);
        if (!watcher->answered) early++;
        else if (!watcher->isList) add(&late, time - watcher->answered);
        watcher->line = NULL;
    } else if (time - watcher->sent > patience) {
        if (!unseen++) fprintf(stderr, "%s: not version %lld: %d %.300s\n", watcher->path, (long long)watcher->wanted, status, body);
        watcher->line = NULL;
    } else {
        watcher->next = time + pollPause;
    }
}

// Takes what has come; a whole answer goes to `written` or `seen`.
static void receive(Connection *connection) {
    ssize_t count = recv(connection->socket, connection->in + connection->used, room - connection->used, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    int status = 0;
    char *body = "";
    int isClosing = count <= 0;
    if (count > 0) {
        connection->used += (size_t)count;
        connection->in[connection->used] = 0;
        char *headEnd = strstr(connection->in, "\r\n\r\n");
        if (!headEnd) return;
        char *length = strcasestr(connection->in, "\r\ncontent-length:"), *close = strcasestr(connection->in, "\r\nconnection: close");
        body = headEnd + 4;
        size_t whole = (size_t)(body - connection->in) + (length && length < headEnd ? (size_t)atol(length + 17) : 0);
        if (connection->used < whole) return;
        status = atoi(connection->in + 9);
        isClosing = close && close < headEnd;
    }
    if (isClosing) {
        close(connection->socket);
        openSocket(connection);
    }
    if (!connection->isAsking) return;
    connection->isAsking = 0;
    if (connection->isWriter) written(connection, status, body);
    else seen(connection, status, body);
}

static void readLines(const char *path) {
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t size = 0, capacity = 0;
    if (!file) exit((perror(path), 1));
    while (getline(&text, &size, file) > 0) {
        if (lineCount == capacity && !(lines = realloc(lines, (capacity = capacity * 2 + 64) * sizeof *lines))) exit((perror("memory"), 1));
        char *rest = strdup(text), *part[5];
        rest[strcspn(rest, "\n")] = 0;
        for (int index = 0; index < 5; index++) part[index] = rest ? strsep(&rest, "\t") : "";
        lines[lineCount++] = (Line){part[0], part[1], part[2], part[3], atoll(part[4]), 0};
    }
    fclose(file);
    if (!lineCount) exit((fprintf(stderr, "%s is empty\n", path), 1));
}

static int ascending(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void print(const char *name, Samples *samples) {
    qsort(samples->values, samples->count, sizeof *samples->values, ascending);
    size_t count = samples->count;
    printf(
        "\"%s\": {\"count\": %zu, \"p50\": %.3f, \"p99\": %.3f, \"most\": %.3f}, ", name, count,
        count ? samples->values[count / 2] / 1e3 : 0.0, count ? samples->values[count * 99 / 100] / 1e3 : 0.0,
        count ? samples->values[count - 1] / 1e3 : 0.0);
}

int main(int count, char **arguments) {
    if (count < 5) return fprintf(stderr, "usage: writes PORT CONNECTIONS SECONDS REQUESTS [rate=N] [watch=PORT] [lists=N] [answers=FILE] [from=N]\n"), 2;
    double rate = 0;
    for (int index = 5; index < count; index++) {
        if (!strncmp(arguments[index], "rate=", 5)) rate = atof(arguments[index] + 5);
        if (!strncmp(arguments[index], "watch=", 6)) watchPort = atoi(arguments[index] + 6);
        if (!strncmp(arguments[index], "lists=", 6)) every = atoi(arguments[index] + 6);
        if (!strncmp(arguments[index], "from=", 5)) number = atoll(arguments[index] + 5);
        if (!strncmp(arguments[index], "answers=", 8) && !(answers = fopen(arguments[index] + 8, "w"))) return perror("answers"), 1;
    }
    readLines(arguments[4]);
    events = epoll_create1(0);
    writerCount = atoi(arguments[2]);
    writing = calloc((size_t)writerCount, sizeof *writing);
    if (events < 0 || !writing) return perror("set-up"), 1;
    for (int index = 0; index < writerCount; index++) prepare(&writing[index], atoi(arguments[1]), 1);
    for (int index = 0; watchPort && index < watchers; index++) prepare(&watching[index], watchPort, 0);

    int64_t start = now(), due = 0;
    end = start + (int64_t)(atof(arguments[3]) * 1e6);
    for (;;) {
        int64_t time = now();
        int isOver = time >= end, busy = 0;
        for (int index = 0; index < writerCount; index++) {
            Connection *writer = &writing[index];
            int64_t when = rate ? start + (int64_t)(due / rate * 1e6) : time;
            if (!writer->line && !isOver && when <= time) {
                ask(writer, when);
                if (writer->line) due++;
            }
            busy += writer->line != NULL;
        }
        for (int index = 0; watchPort && index < watchers; index++) {
            Connection *watcher = &watching[index];
            busy += watcher->line != NULL;
            if (watcher->line && !watcher->isAsking && watcher->next <= time) look(watcher);
        }
        if (isOver && (!busy || time > end + 2 * patience)) break;
        struct epoll_event ready[256];
        int some = epoll_wait(events, ready, 256, rate || watchPort || isOver ? 1 : 100);
        for (int index = 0; index < some; index++) receive(ready[index].data.ptr);
    }
    if (answers) fclose(answers);
    if (!latency.count) return fprintf(stderr, "no answer came\n"), 1;
    double seconds = (double)(now() - start) / 1e6;
    size_t total = latency.count;
    putchar('{');
    print("visible", &visible);
    print("listed", &listed);
    print("late", &late);
    print("latency", &latency);
    printf(
        "\"rate\": %.1f, \"p50\": %.3f, \"p99\": %.3f, \"errors\": %zu, \"unseen\": %zu, \"unwatched\": %zu, \"early\": %zu, \"asked\": %zu}\n",
        (double)total / seconds, latency.values[total / 2] / 1e3, latency.values[total * 99 / 100] / 1e3, errors, unseen, unwatched, early, total);
    return 0;
}
