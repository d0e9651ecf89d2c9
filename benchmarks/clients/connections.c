// Many open keep-alive connections of which a few are busy: connections PORT TOTAL ACTIVE SECONDS PATH  ->  one line of JSON.
// Every connection is asked once, so that none is merely accepted; ACTIVE then ask without pause; at the end each idle one is
// asked again: one that the server has dropped meanwhile is an error.
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { headRoom = 4096, mostSamples = 1 << 24, pauseMilliseconds = 10000, opening = 128 };

typedef struct {
    int socket;
    size_t headLength, bodyLeft;
    int64_t asked;
    char head[headRoom];
} Connection;

static Connection *connections;
static int events, total, port;
static size_t answers, errors, requestLength;
static uint32_t *samples;
static char request[512];

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void drop(Connection *connection) {
    errors++;
    close(connection->socket);
    connection->socket = -1;
}

static void ask(Connection *connection) {
    connection->headLength = connection->bodyLeft = 0;
    connection->asked = now();
    if (send(connection->socket, request, requestLength, MSG_NOSIGNAL) != (ssize_t)requestLength) drop(connection);
}

static void openConnection(Connection *connection) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->socket = socket(AF_INET, SOCK_STREAM, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (connection->socket < 0) exit((perror("socket"), 1));
    if (connect(connection->socket, (struct sockaddr *)&address, sizeof address)) return drop(connection);
    epoll_ctl(events, EPOLL_CTL_ADD, connection->socket, &event);
    ask(connection);
}

// True once the whole answer has come. A status other than 200, a head without a length or a closed connection drops it.
static int receive(Connection *connection) {
    static char rest[1 << 16];
    ssize_t count;
    if (connection->bodyLeft) {
        count = recv(connection->socket, rest, sizeof rest, MSG_DONTWAIT);
        if (count <= 0 || (size_t)count > connection->bodyLeft) return drop(connection), 0;
        return !(connection->bodyLeft -= (size_t)count);
    }
    count = recv(connection->socket, connection->head + connection->headLength, headRoom - 1 - connection->headLength, MSG_DONTWAIT);
    if (count <= 0) return drop(connection), 0;
    connection->headLength += (size_t)count;
    connection->head[connection->headLength] = 0;
    char *end = strstr(connection->head, "\r\n\r\n");
    if (!end) return connection->headLength == headRoom - 1 ? (drop(connection), 0) : 0;
    char *length = strcasestr(connection->head, "\r\ncontent-length:");
    if (strncmp(connection->head, "HTTP/1.1 200", 12) || !length || length > end) return drop(connection), 0;
    size_t whole = (size_t)(end + 4 - connection->head) + (size_t)atol(length + 17);
    if (connection->headLength > whole) return drop(connection), 0;
    return !(connection->bodyLeft = whole - connection->headLength);
}

// Asks on the connections from `first` up to `last` that are still open, and says how many those are.
static int askAll(int first, int last) {
    int asked = 0;
    for (int index = first; index < last; index++) {
        if (connections[index].socket < 0) continue;
        ask(&connections[index]);
        asked++;
    }
    return asked;
}

// Hands every whole or broken answer to `answered` until that says enough, or nothing comes for a while.
static void serve(int (*answered)(Connection *)) {
    struct epoll_event ready[512];
    for (;;) {
        int count = epoll_wait(events, ready, 512, pauseMilliseconds);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return;
        for (int index = 0; index < count; index++) {
            Connection *connection = ready[index].data.ptr;
            size_t before = errors;
            if (connection->socket < 0) continue;
            if ((receive(connection) || errors > before) && answered(connection)) return;
        }
    }
}

static int next, settled;
static int64_t end;

static int keepOpening(Connection *connection) {
    (void)connection;
    if (next < total) openConnection(&connections[next++]);
    return ++settled == total;
}

static int keepAsking(Connection *connection) {
    if (connection->socket < 0) return --settled == 0;
    if (answers < mostSamples) samples[answers] = (uint32_t)(now() - connection->asked);
    answers++;
    if (now() < end) return ask(connection), 0;
    return --settled == 0;
}

static int keepCounting(Connection *connection) {
    (void)connection;
    return --settled == 0;
}

static int ascending(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

int main(int count, char **arguments) {
    if (count != 6) return fprintf(stderr, "usage: connections PORT TOTAL ACTIVE SECONDS PATH\n"), 2;
    port = atoi(arguments[1]);
    total = atoi(arguments[2]);
    int active = atoi(arguments[3]);
    requestLength = (size_t)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", arguments[5], port);
    connections = calloc((size_t)total, sizeof *connections);
    samples = malloc(mostSamples * sizeof *samples);
    events = epoll_create1(0);
    if (!connections || !samples || events < 0 || active > total || requestLength >= sizeof request) return perror("set-up"), 1;

    while (next < total && next < opening) openConnection(&connections[next++]);
    serve(keepOpening);
    int open = 0;
    for (int index = 0; index < total; index++) open += connections[index].socket >= 0;

    int64_t start = now();
    end = start + (int64_t)(atof(arguments[4]) * 1e6);
    settled = askAll(0, active);
    serve(keepAsking);
    double elapsed = (double)(now() - start) / 1e6;

    settled = askAll(active, total);
    if (settled) serve(keepCounting);
    size_t sampleCount = answers < mostSamples ? answers : mostSamples;
    if (!sampleCount) return fprintf(stderr, "no answer came\n"), 1;
    qsort(samples, sampleCount, sizeof *samples, ascending);
    printf(
        "{\"open\": %d, \"rate\": %.1f, \"p50\": %.3f, \"p99\": %.3f, \"errors\": %zu}\n", open, (double)answers / elapsed,
        samples[sampleCount / 2] / 1e3, samples[sampleCount * 99 / 100] / 1e3, errors + (size_t)(settled > 0 ? settled : 0));
    return 0;
}
