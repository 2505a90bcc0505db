/* Makes the folder of a small run that never was, and its report:  make_run RUN
 *
 * 300 updates whose loss falls from 1 to 0.5, 6 epochs, one picture of 2 x 3 plain tiles, whose
 * colours run_browser looks for. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fatal.h"
#include "runtime/data/picture.h"
#include "runtime/file.h"
#include "runtime/train/run_log.h"
#include "tools/report/report.h"

enum { UPDATES = 300, EPOCH = 50, SIDE = 64 };

static const char record[] =
    "{\"sparkc\": \"0.1.0\", \"network\": {\"name\": \"tutorial\", \"input\": \"3x96x96\"},\n"
    " \"data\": {\"sources\": [\"pictures/<b>&amp;\"], \"samples\": 1600},\n"
    " \"settings\": {\"batch\": 32, \"epochs\": 6, \"base_lr\": 2e-4, \"mask_ratio\": 0.6},\n"
    " \"machine\": {\"cpu\": \"x86-64-v3\", \"threads\": 2}}\n";

static const uint8_t colors[2][3][3] = {{{200, 30, 40}, {30, 160, 60}, {40, 60, 200}},
                                        {{240, 200, 20}, {150, 40, 170}, {20, 180, 190}}};

static void require(Status status) {
    invariant(status_fine(status), "%s", status.message);
}

static void write_line(RunLog *log, Arena *arena, int step, const char *kind, json_t *fields) {
    require(run_log_write(log, arena, step, kind, fields));
}

static void write_update(RunLog *log, Arena *arena, int step) {
    double loss = 0.5 + 0.5 * exp(-step / 60.0) + 0.01 * sin(step * 12.9898);
    double lr =
        2e-4 * (step < 30 ? step / 30.0 : 0.5 + 0.5 * cos(3.14159265 * step / (double)UPDATES));
    write_line(log, arena, step, "step",
               json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "loss", loss, "grad_norm",
                         0.3 + 2 * exp(-step / 25.0) + 0.05 * sin(step * 7.1), "lr", lr,
                         "weight_decay", 0.04, "images_per_second", 83 + 2 * cos(step * 0.7),
                         "data_wait", 0.012));
    if (step % EPOCH == 0) {
        write_line(log, arena, step, "epoch",
                   json_pack("{s:i, s:f}", "epoch", step / EPOCH, "loss", loss + 0.01));
        write_line(log, arena, step, "checkpoint", NULL);
    }
}

static void write_log(Arena *arena, const char *run) {
    RunLog *log;
    require(run_log_open(arena, arena_format(arena, "%s/log.jsonl", run), 0, &log));
    write_line(log, arena, 0, "start", NULL);
    for (int step = 1; step <= UPDATES; step++)
        write_update(log, arena, step);
    write_line(
        log, arena, 120, "bad_picture",
        json_pack("{s:s, s:s}", "name", "<script>cut.jpg", "reason", "the JPEG is cut short"));
    write_line(log, arena, UPDATES, "end",
               json_pack("{s:s, s:f}", "how", "finished", "seconds", 115.5));
    run_log_close(log);
}

static void write_picture(Arena *arena, const char *run) {
    Image canvas;
    uint8_t tile[SIDE * SIDE * 3];
    require(picture_canvas(arena, 2, 3, SIDE, SIDE, 3, &canvas));
    for (int row = 0; row < 2; row++) {
        for (int column = 0; column < 3; column++) {
            for (int i = 0; i < SIDE * SIDE; i++)
                memcpy(tile + i * 3, colors[row][column], 3);
            picture_put(&canvas, row, column, SIDE, SIDE, tile);
        }
    }
    require(file_make_folder(arena, arena_format(arena, "%s/pictures", run)));
    require(
        picture_write(arena, &canvas, arena_format(arena, "%s/pictures/update-00000300.png", run)));
}

int main(int argc, char **argv) {
    Arena *arena = arena_create();
    if (argc != 2) {
        fputs("make_run RUN\n", stderr);
        return 2;
    }
    FilePiece piece = {record, strlen(record)};
    require(file_make_folder(arena, argv[1]));
    require(file_replace(arena, arena_format(arena, "%s/run.json", argv[1]), &piece, 1));
    write_log(arena, argv[1]);
    write_picture(arena, argv[1]);
    require(report_write(arena, argv[1]));
    arena_destroy(arena);
    return 0;
}
