/* Pictures to train on that belong to nobody: small scenes of spheres, boxes and columns on a
 * patterned floor under a sun, by tracing rays.
 *
 *     render_pictures FOLDER COUNT SIZE SEED     writes FOLDER/scene-0000.png and so on
 *
 * A scene is a function of the seed and its number. Lengths are such that the solids are about one
 * high; y points up, the floor is y = 0. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/random.h"
#include "runtime/data/picture.h"

typedef struct Vector {
    double x, y, z;
} Vector;

typedef enum Pattern { PLAIN, STRIPES, CHECKERS, RINGS, MARBLE, PATTERN_COUNT } Pattern;

typedef struct Paint {
    Pattern pattern;
    double scale, shine;
    Vector colours[2];
} Paint;

typedef enum Shape { SPHERE, BOX, COLUMN, SHAPE_COUNT } Shape;

/* A solid in a frame of its own, turned about the vertical axis and moved. */
typedef struct Solid {
    Shape shape;
    Vector centre, half; /* half: half of the extents; a sphere's radius is half.x */
    double cosine, sine;
    Paint paint;
} Solid;

enum { MOST_SOLIDS = 5, RAYS = 3 /* per pixel and direction */ };

typedef struct Scene {
    Solid solids[MOST_SOLIDS];
    int count;
    Paint floor;
    Vector sun, light, zenith, horizon;
    double height, tilt; /* of the camera */
} Scene;

typedef struct Hit {
    double distance;
    Vector normal, local; /* local: where the paint is looked up */
    const Paint *paint;
} Hit;

static const double nowhere = 1e9, least_distance = 1e-6;

/* ---- Vectors --------------------------------------------------------------------------------- */

static Vector scaled(Vector a, double factor) {
    return (Vector){a.x * factor, a.y * factor, a.z * factor};
}

static Vector along(Vector start, Vector direction, double distance) {
    return (Vector){start.x + distance * direction.x, start.y + distance * direction.y,
                    start.z + distance * direction.z};
}

static double dot(Vector a, Vector b) {
    return a.x * b.x + a.y * b.y + a.z * b.z;
}

static Vector unit(Vector a) {
    return scaled(a, 1 / sqrt(dot(a, a)));
}

static Vector mixed(Vector a, Vector b, double share) {
    return along(scaled(a, 1 - share), b, share);
}

/* ---- Meeting solids -------------------------------------------------------------------------- */

static Vector into(const Solid *solid, Vector a) {
    return (Vector){solid->cosine * a.x + solid->sine * a.z, a.y,
                    solid->cosine * a.z - solid->sine * a.x};
}

static Vector out_of(const Solid *solid, Vector a) {
    return (Vector){solid->cosine * a.x - solid->sine * a.z, a.y,
                    solid->cosine * a.z + solid->sine * a.x};
}

/* The range of distances at which one coordinate lies within -half .. half; returns whether the
 * side where the ray enters cuts `near`. */
static bool cut_slab(double start, double step, double half, double *near, double *far) {
    double inverse = 1 / (fabs(step) < 1e-12 ? 1e-12 : step);
    double one = (-half - start) * inverse, other = (half - start) * inverse;
    *far = fmin(*far, fmax(one, other));
    bool later = fmin(one, other) > *near;
    *near = fmax(*near, fmin(one, other));
    return later;
}

/* The same within a circle around the axis of the plane's two coordinates. */
static bool cut_round(double square, double middle, double rest, double *near, double *far) {
    double root = middle * middle - square * rest;
    if (root < 0 || square < 1e-12) {
        *far = root < 0 || rest > 0 ? -nowhere : *far;
        return false;
    }
    bool later = (-middle - sqrt(root)) / square > *near;
    *far = fmin(*far, (-middle + sqrt(root)) / square);
    *near = fmax(*near, (-middle - sqrt(root)) / square);
    return later;
}

static void meet_solid(const Solid *solid, Vector start, Vector direction, Hit *hit) {
    Vector s = into(solid, along(start, solid->centre, -1)), d = into(solid, direction);
    Vector half = solid->half, normal = {0, 0, 0};
    double near = -nowhere, far = nowhere, sign = d.y > 0 ? -1 : 1;
    bool round = solid->shape == SPHERE;
    if (round)
        cut_round(dot(d, d), dot(s, d), dot(s, s) - half.x * half.x, &near, &far);
    else if (cut_slab(s.y, d.y, half.y, &near, &far))
        normal = (Vector){0, sign, 0};
    if (solid->shape == COLUMN)
        round = cut_round(d.x * d.x + d.z * d.z, s.x * d.x + s.z * d.z,
                          s.x * s.x + s.z * s.z - half.x * half.x, &near, &far);
    if (solid->shape == BOX && cut_slab(s.x, d.x, half.x, &near, &far))
        normal = (Vector){d.x > 0 ? -1 : 1, 0, 0};
    if (solid->shape == BOX && cut_slab(s.z, d.z, half.z, &near, &far))
        normal = (Vector){0, 0, d.z > 0 ? -1 : 1};
    if (near > far || near < least_distance || near >= hit->distance)
        return;
    Vector local = along(s, d, near);
    if (round)
        normal = unit((Vector){local.x, solid->shape == SPHERE ? local.y : 0, local.z});
    *hit = (Hit){near, out_of(solid, normal), local, &solid->paint};
}

static Hit meet(const Scene *scene, Vector start, Vector direction) {
    Hit hit = {.distance = nowhere};
    double down = -start.y / (fabs(direction.y) < 1e-12 ? 1e-12 : direction.y);
    if (down > least_distance)
        hit = (Hit){down, {0, 1, 0}, along(start, direction, down), &scene->floor};
    for (int i = 0; i < scene->count; i++)
        meet_solid(&scene->solids[i], start, direction, &hit);
    return hit;
}

/* ---- Colours --------------------------------------------------------------------------------- */

static Vector paint_colour(const Paint *paint, Vector at) {
    Vector p = scaled(at, paint->scale);
    double share = 0;
    if (paint->pattern == STRIPES)
        share = sin(M_PI * (p.x + 0.6 * p.y)) > 0;
    if (paint->pattern == CHECKERS)
        share = fmod(fabs(floor(p.x) + floor(p.y + 1e-6) + floor(p.z)), 2);
    if (paint->pattern == RINGS)
        share = sin(M_PI * sqrt(p.x * p.x + p.z * p.z) + M_PI * p.y) > 0;
    if (paint->pattern == MARBLE)
        share = 0.5 + 0.5 * sin(2 * p.x + 2 * sin(1.7 * p.y + sin(2.3 * p.z)) + sin(3.1 * p.z));
    return mixed(paint->colours[0], paint->colours[1], share);
}

static Vector sky_colour(const Scene *scene, Vector direction) {
    Vector sky = mixed(scene->horizon, scene->zenith, pow(fmax(direction.y, 0), 0.6));
    return along(sky, scene->light, 0.6 * pow(fmax(dot(direction, scene->sun), 0), 40));
}

static Vector ray_colour(const Scene *scene, Vector start, Vector direction) {
    Hit hit = meet(scene, start, direction);
    if (!hit.paint)
        return sky_colour(scene, direction);
    Vector at = along(along(start, direction, hit.distance), hit.normal, 1e-5);
    double sunny = fmax(dot(hit.normal, scene->sun), 0), ambient = 0.3 + 0.12 * hit.normal.y;
    if (sunny > 0 && meet(scene, at, scene->sun).paint)
        sunny = 0;
    /* Where solids stand on the floor less of the sky is seen. */
    ambient *= hit.normal.y > 0.99 ? 1 : 0.55 + 0.45 * fmin(at.y, 1);
    Vector colour = scaled(paint_colour(hit.paint, hit.local), ambient + 0.85 * sunny);
    Vector between = unit(along(scene->sun, direction, -1));
    if (sunny > 0)
        colour = along(colour, scene->light,
                       hit.paint->shine * pow(fmax(dot(hit.normal, between), 0), 50));
    return mixed(colour, scene->horizon, 1 - exp(-0.004 * hit.distance * hit.distance));
}

/* ---- Scenes ---------------------------------------------------------------------------------- */

/* The draws of a scene, in the order in which they are asked for: one in an expression at most,
 * because compilers choose the order within one. */
typedef struct Draws {
    uint32_t seed, scene;
    uint64_t next;
} Draws;

static double draw(Draws *draws, double least, double most) {
    uint32_t word = random_word(draws->seed, 0, draws->scene, draws->next++);
    return least + (most - least) * word / 4294967296.0;
}

static int choose(Draws *draws, int count) {
    return (int)draw(draws, 0, count);
}

/* A colour of that hue, in turns. */
static Vector hue_colour(double hue, double strength, double brightness) {
    Vector pure = {0.5 + 0.5 * cos(2 * M_PI * hue), 0.5 + 0.5 * cos(2 * M_PI * (hue - 1.0 / 3)),
                   0.5 + 0.5 * cos(2 * M_PI * (hue + 1.0 / 3))};
    return scaled(mixed((Vector){1, 1, 1}, pure, strength), brightness);
}

static Paint draw_paint(Draws *draws, double hue, double strength) {
    double bright = draw(draws, 0.75, 1), other = draw(draws, 0.25, 0.6);
    double step = draw(draws, -0.12, 0.12);
    Paint paint = {.pattern = (Pattern)choose(draws, PATTERN_COUNT)};
    paint.scale = draw(draws, 2, 4);
    paint.shine = draw(draws, 0.1, 0.8);
    paint.colours[0] = hue_colour(hue, strength, bright);
    paint.colours[1] = hue_colour(hue + step, strength, other);
    return paint;
}

static Solid draw_solid(Draws *draws, double hue) {
    double size = draw(draws, 0.45, 0.95), turn = draw(draws, 0, M_PI);
    double depth = draw(draws, 3.2, 7), side = draw(draws, -0.5, 0.5);
    Solid solid = {.shape = (Shape)choose(draws, SHAPE_COUNT),
                   .half = {size, size, size},
                   .cosine = cos(turn),
                   .sine = sin(turn)};
    if (solid.shape == COLUMN)
        solid.half = (Vector){0.6 * size, size * draw(draws, 0.8, 1.9), 0.6 * size};
    if (solid.shape == BOX) {
        solid.half.x = 0.7 * size * draw(draws, 0.7, 1.1);
        solid.half.y = 0.7 * size * draw(draws, 0.6, 1.5);
        solid.half.z = 0.7 * size;
    }
    solid.centre = (Vector){side * depth, solid.half.y, depth};
    solid.paint = draw_paint(draws, hue, draw(draws, 0.6, 1));
    return solid;
}

static bool apart(const Scene *scene, const Solid *solid) {
    for (int i = 0; i < scene->count; i++) {
        Vector way = along(scene->solids[i].centre, solid->centre, -1);
        if (hypot(way.x, way.z) < 0.85 * (scene->solids[i].half.x + solid->half.x))
            return false;
    }
    return true;
}

static Scene draw_scene(Draws *draws) {
    double hue = draw(draws, 0, 1), turn = draw(draws, -1.3, 1.3), warmth = draw(draws, 0, 0.25);
    Scene scene = {.height = draw(draws, 1.1, 2.4), .light = {1, 1 - 0.5 * warmth, 1 - warmth}};
    scene.tilt = 0.16 * scene.height;
    scene.sun = unit((Vector){sin(turn), draw(draws, 0.6, 1.3), -cos(turn)});
    double strength = draw(draws, 0.5, 0.9);
    scene.zenith = hue_colour(0.6 + draw(draws, -0.08, 0.08), strength, 0.85);
    scene.horizon = mixed(hue_colour(hue + 0.4, 0.25, 1), scene.light, 0.5);
    scene.floor = draw_paint(draws, hue + 0.5, draw(draws, 0.1, 0.4));
    scene.floor.scale *= 0.4;
    scene.floor.shine = 0;
    int wanted = 2 + choose(draws, MOST_SOLIDS - 1);
    for (int attempt = 0; attempt < 40 && scene.count < wanted; attempt++) {
        double shift = draw(draws, -0.2, 0.2);
        Solid solid = draw_solid(draws, hue + shift + 0.33 * choose(draws, 3));
        if (apart(&scene, &solid))
            scene.solids[scene.count++] = solid;
    }
    return scene;
}

/* ---- Pictures -------------------------------------------------------------------------------- */

/* What is seen at a place of the picture, from -0.5 to 0.5 to the right and up. */
static Vector seen(const Scene *scene, double x, double y) {
    Vector start = {0, scene->height, 0};
    Vector colour = ray_colour(scene, start, unit((Vector){x, y - scene->tilt, 1}));
    return (Vector){fmin(colour.x, 1), fmin(colour.y, 1), fmin(colour.z, 1)};
}

static void render(const Scene *scene, int size, uint8_t *pixels) {
    const double step = 1.0 / (RAYS * size);
    for (int i = 0; i < size * size; i++) {
        Vector sum = {0, 0, 0};
        for (int ray = 0; ray < RAYS * RAYS; ray++) {
            double x = i % size * RAYS + ray % RAYS + 0.5;
            double y = i / size * RAYS + ray / RAYS + 0.5; /* downwards */
            sum = along(sum, seen(scene, x * step - 0.5, 0.5 - y * step), 1);
        }
        const double channels[] = {sum.x, sum.y, sum.z};
        for (int c = 0; c < 3; c++) /* gamma of 1 / 1.6: a little darker than a screen wants */
            pixels[3 * i + c] = (uint8_t)lround(255 * pow(channels[c] / (RAYS * RAYS), 1 / 1.6));
    }
}

static Status write_pictures(Arena *arena, const char *folder, int count, int size, uint32_t seed) {
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return status_failure(arena, "%s: cannot make the folder: %s", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        Arena *scratch = arena_create();
        Draws draws = {.seed = seed, .scene = (uint32_t)i};
        Scene scene = draw_scene(&draws);
        Image image;
        Status status = picture_canvas(arena, 1, 1, size, size, 3, &image);
        if (status_fine(status)) {
            render(&scene, size, image.pixels);
            status =
                picture_write(scratch, &image, arena_format(arena, "%s/scene-%04d.png", folder, i));
        }
        if (!status_fine(status))
            status = status_failure(arena, "%s", status.message);
        arena_destroy(scratch);
        status_return_if_failed(status);
    }
    return STATUS_FINE;
}

/* A whole number, or -1. */
static long whole(const char *text, long most) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    return errno || end == text || *end || value > most ? -1 : value;
}

int main(int argc, char **argv) {
    long count = argc == 5 ? whole(argv[2], 9999) : -1;
    long size = argc == 5 ? whole(argv[3], 4096) : -1;
    long seed = argc == 5 ? whole(argv[4], UINT32_MAX) : -1;
    if (count < 1 || size < 8 || seed < 0) {
        fprintf(stderr, "usage: render_pictures FOLDER COUNT SIZE SEED\n"
                        "COUNT 1 to 9999, SIZE 8 to 4096 pixels, SEED from 0\n");
        return 2;
    }
    Arena *arena = arena_create();
    Status status = write_pictures(arena, argv[1], (int)count, (int)size, (uint32_t)seed);
    if (!status_fine(status))
        fprintf(stderr, "render_pictures: %s\n", status.message);
    arena_destroy(arena);
    return status_fine(status) ? 0 : 1;
}
