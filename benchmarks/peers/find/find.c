// The yardstick of the cold read: one `find` by _id per beat over libmongoc, nothing else. Threads 1, 2, 4, 8, 16 in turn.
// find URI DATABASE IDS SECONDS THREADS  ->  one line of JSON. IDS: a file with one UUID a line.
#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { mostSamples = 1 << 20 };

typedef struct {
    uint8_t bytes[16];
} Identifier;

typedef struct {
    pthread_t thread;
    unsigned int seed;
    size_t finds, errors;
    uint32_t *microseconds;
} Worker;

static Identifier *identifiers;
static size_t identifierCount;
static mongoc_client_pool_t *pool;
static const char *databaseName;
static int64_t end;

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static bool readIdentifier(const char *line, Identifier *identifier) {
    unsigned int byte;
    for (size_t index = 0; index < 16; index++) {
        if (index == 4 || index == 6 || index == 8 || index == 10) line++;
        if (sscanf(line, "%2x", &byte) != 1) return false;
        identifier->bytes[index] = (uint8_t)byte;
        line += 2;
    }
    return true;
}

static void readIdentifiers(const char *path) {
    FILE *file = fopen(path, "r");
    char line[64];
    size_t room = 0;
    if (!file) exit((perror(path), 1));
    while (fgets(line, sizeof line, file)) {
        if (identifierCount == room) {
            room = room ? room * 2 : 4096;
            identifiers = realloc(identifiers, room * sizeof *identifiers);
        }
        if (identifiers && readIdentifier(line, &identifiers[identifierCount])) identifierCount++;
    }
    fclose(file);
    if (!identifierCount) exit((fprintf(stderr, "%s holds no ids\n", path), 1));
}

static void findOne(Worker *worker, mongoc_collection_t *beats, const bson_t *options) {
    const Identifier *identifier = &identifiers[(size_t)rand_r(&worker->seed) % identifierCount];
    const bson_t *document;
    bson_t filter;
    int64_t start = now();
    bson_init(&filter);
    BSON_APPEND_BINARY(&filter, "_id", BSON_SUBTYPE_UUID, identifier->bytes, 16);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(beats, &filter, options, NULL);
    if (!mongoc_cursor_next(cursor, &document)) worker->errors++;
    mongoc_cursor_destroy(cursor);
    bson_destroy(&filter);
    if (worker->finds < mostSamples) worker->microseconds[worker->finds] = (uint32_t)(now() - start);
    worker->finds++;
}

static void *work(void *argument) {
    Worker *worker = argument;
    mongoc_client_t *client = mongoc_client_pool_pop(pool);
    mongoc_collection_t *beats = mongoc_client_get_collection(client, databaseName, "beats");
    bson_t options;
    bson_init(&options);
    BSON_APPEND_INT64(&options, "limit", 1);
    BSON_APPEND_BOOL(&options, "singleBatch", true);
    while (now() < end) findOne(worker, beats, &options);
    bson_destroy(&options);
    mongoc_collection_destroy(beats);
    mongoc_client_pool_push(pool, client);
    return NULL;
}

static int ascending(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

int main(int count, char **arguments) {
    if (count != 6) return fprintf(stderr, "usage: find URI DATABASE IDS SECONDS THREADS\n"), 2;
    int threads = atoi(arguments[5]);
    double seconds = atof(arguments[4]);
    Worker workers[64] = {0};
    if (threads < 1 || threads > 64) return fprintf(stderr, "1 to 64 threads\n"), 2;
    mongoc_init();
    readIdentifiers(arguments[3]);
    databaseName = arguments[2];
    mongoc_uri_t *uri = mongoc_uri_new(arguments[1]);
    if (!uri) return fprintf(stderr, "not a MongoDB URI\n"), 2;
    pool = mongoc_client_pool_new(uri);

    int64_t start = now();
    end = start + (int64_t)(seconds * 1e6);
    for (int index = 0; index < threads; index++) {
        workers[index].seed = (unsigned int)start + (unsigned int)index * 7919;
        workers[index].microseconds = malloc(mostSamples * sizeof(uint32_t));
        if (!workers[index].microseconds) return perror("malloc"), 1;
        pthread_create(&workers[index].thread, NULL, work, &workers[index]);
    }
    size_t finds = 0, errors = 0, samples = 0;
    for (int index = 0; index < threads; index++) {
        pthread_join(workers[index].thread, NULL);
        finds += workers[index].finds;
        errors += workers[index].errors;
    }
    double elapsed = (double)(now() - start) / 1e6;
    uint32_t *all = malloc((finds + 1) * sizeof *all);
    if (!all) return perror("malloc"), 1;
    for (int index = 0; index < threads; index++) {
        size_t kept = workers[index].finds < mostSamples ? workers[index].finds : mostSamples;
        memcpy(all + samples, workers[index].microseconds, kept * sizeof *all);
        samples += kept;
        free(workers[index].microseconds);
    }
    if (!samples) return fprintf(stderr, "no find was answered\n"), 1;
    qsort(all, samples, sizeof *all, ascending);
    printf(
        "{\"threads\": %d, \"rate\": %.1f, \"p50\": %.3f, \"p99\": %.3f, \"errors\": %zu}\n", threads, (double)finds / elapsed,
        all[samples / 2] / 1e3, all[samples * 99 / 100] / 1e3, errors);
    free(all);
    free(identifiers);
    mongoc_client_pool_destroy(pool);
    mongoc_uri_destroy(uri);
    mongoc_cleanup();
    return 0;
}
