"""Records tests/corpus/bpy/blocks.zip: data blocks of Blender, dumped and diffed as an addon does.

    python record_bpy.py OUT.zip    with a Python that has bpy (4.5 for Python 3.11) and deepdiff 8.1.1

For each kind of block: its data as a node carries it (KIND/000.node, a pickle), and for each edit made
with bpy the delta to the next state (KIND/NNN.delta, what Delta.dumps() gives). The shapes are those
that the addon sends: attributes by name, arrays of geometry as bytes of numpy, other blocks by uuid,
collections of named things as dicts, of splines as dicts with ints, of links and markers as lists.
Scenes and collections are compared without order, as it does.
"""

import pickle
import sys
import uuid
import zipfile

import bpy
import numpy as np
from deepdiff import DeepDiff, Delta

UUID_SPACE = uuid.UUID("6f1a9f5e-2f0c-4c55-9b6e-0d2f6a6d4c11")
SKIPPED = {"rna_type", "bl_rna", "session_uid", "id_data", "is_evaluated", "is_embedded_data", "users"}
NUMPY = {"FLOAT": np.float32, "INT": np.int32, "BOOLEAN": np.bool_}
UNORDERED = {"scene", "collection"}


def uuid_of(block):
    return str(uuid.uuid5(UUID_SPACE, f"{block.bl_rna.identifier}/{block.name}"))


# --- Dumping -----------------------------------------------------------------------------------------

def plain(value):
    """A property's value as plain Python."""
    if isinstance(value, (bool, int, float, str, bytes)) or value is None:
        return value
    if isinstance(value, bpy.types.ID):
        return uuid_of(value)
    if isinstance(value, set):
        return sorted(value)
    return [plain(item) for item in value]


def fields(struct, depth=1, only=None):
    """The properties of a struct by name, those of structs and collections in it down to `depth`."""
    result = {}
    for prop in sorted(struct.bl_rna.properties, key=lambda prop: prop.identifier):
        name = prop.identifier
        if name in SKIPPED or name.startswith("bl_") or (only is not None and name not in only):
            continue
        try:
            value = getattr(struct, name)
        except Exception:
            continue
        if prop.type == "COLLECTION":
            if depth > 1:
                result[name] = {getattr(item, "name", "") or str(place): fields(item, depth - 1)
                                for place, item in enumerate(value)}
        elif prop.type == "POINTER":
            if isinstance(value, bpy.types.ID):
                result[name] = uuid_of(value)
            elif value is not None and depth > 1:
                result[name] = fields(value, depth - 1)
        else:
            result[name] = plain(value)
    return result


def packed(items, *names):
    """One property of all items as the bytes of an array; an enum as the list of its numbers."""
    result = {}
    if len(items) == 0:
        return result
    properties = items[0].bl_rna.properties
    for name in names:
        prop = properties[name]
        if prop.type == "ENUM":
            result[name] = [prop.enum_items[getattr(item, name)].value for item in items]
            continue
        width = int(np.prod([size for size in prop.array_dimensions if size])) if prop.is_array else 1
        array = np.zeros(len(items) * width, dtype=NUMPY[prop.type])
        items.foreach_get(name, array)
        result[name] = array.tobytes()
    return result


def animation(block):
    data = block.animation_data
    if data is None:
        return None
    return {"action": uuid_of(data.action) if data.action else None,
            "drivers": [curve(driver) | {"driver": fields(driver.driver, 3)} for driver in data.drivers],
            "nla_tracks": {track.name: fields(track, 2) for track in data.nla_tracks}}


def curve(fcurve):
    points = fcurve.keyframe_points
    return {"data_path": fcurve.data_path, "array_index": fcurve.array_index,
            "points": len(points),
            "keyframe_points": packed(points, "co", "handle_left", "handle_right", "interpolation",
                                      "easing", "handle_left_type", "handle_right_type"),
            "modifiers": {str(n): fields(item) for n, item in enumerate(fcurve.modifiers)}}


def mesh(block):
    result = fields(block, 1, ["name", "use_mirror_x", "remesh_voxel_size", "texspace_size"])
    result.update(
        animation_data=animation(block), vertex_count=len(block.vertices), edge_count=len(block.edges),
        loop_count=len(block.loops), polygon_count=len(block.polygons),
        vertices=packed(block.vertices, "co"),
        edges=packed(block.edges, "vertices", "use_seam", "use_edge_sharp"),
        loops=packed(block.loops, "vertex_index"),
        polygons=packed(block.polygons, "loop_total", "loop_start", "use_smooth", "material_index"),
        uv_layers={layer.name: {"data": packed(layer.uv, "vector")["vector"]} for layer in block.uv_layers},
        attributes=[(item.name, item.data_type, item.domain, packed(item.data, "value"))
                    for item in block.attributes
                    if item.data_type in ("FLOAT", "INT") and not item.name.startswith(".")],
        materials=[(uuid_of(item), item.name) if item else ("", "") for item in block.materials])
    return result


def socket(item):
    return plain(item.default_value) if hasattr(item, "default_value") else None


def node(item):
    result = fields(item, 1)
    result["inputs"] = [socket(one) for one in item.inputs if hasattr(one, "default_value")]
    result["outputs"] = [socket(one) for one in item.outputs if hasattr(one, "default_value")]
    if hasattr(item, "color_ramp"):
        result["color_ramp"] = fields(item.color_ramp, 3)
    if hasattr(item, "mapping"):
        result["mapping"] = {"curves": {n: {"points": {k: fields(point) for k, point in enumerate(one.points)}}
                                        for n, one in enumerate(item.mapping.curves)}}
    return result


def node_tree(tree):
    def index(sockets, wanted):
        return next(str(n) for n, one in enumerate(sockets) if one == wanted)

    return {"name": tree.name, "type": tree.type,
            "nodes": {item.name: node(item) for item in tree.nodes},
            "links": [{"from_node": link.from_node.name,
                       "from_socket": index(link.from_node.outputs, link.from_socket),
                       "to_node": link.to_node.name,
                       "to_socket": index(link.to_node.inputs, link.to_socket)} for link in tree.links]}


def material(block):
    result = fields(block, 2, ["name", "blend_method", "diffuse_color", "roughness", "metallic", "use_nodes",
                               "line_color", "pass_index", "surface_render_method"])
    return result | {"animation_data": animation(block),
                     "node_tree": node_tree(block.node_tree) if block.node_tree else None}


def armature(block):
    bones = {}
    for bone in block.bones:
        bones[bone.name] = fields(bone, 1) | {"parent": bone.parent.name if bone.parent else None,
                                             "matrix_local": plain(bone.matrix_local),
                                             "head_tail": (plain(bone.head_local), plain(bone.tail_local))}
    return fields(block, 1) | {"animation_data": animation(block), "bones": bones}


def action(block):
    curves = [curve(fcurve) for fcurve in block.fcurves]
    return {"name": block.name, "id_root": getattr(block, "id_root", "OBJECT"), "fcurves": curves,
            "groups": {group.name: [one.array_index for one in group.channels] for group in block.groups}}


def collection(block):
    return {"name": block.name, "instance_offset": plain(block.instance_offset),
            "objects": [uuid_of(item) for item in block.objects],
            "children": [uuid_of(item) for item in block.children]}


def scene(block):
    return {"name": block.name, "animation_data": animation(block),
            "world": uuid_of(block.world) if block.world else None,
            "collection": collection(block.collection), "render": fields(block.render, 2),
            "eevee": fields(block.eevee), "view_settings": fields(block.view_settings, 3),
            "unit_settings": fields(block.unit_settings), "gravity": plain(block.gravity),
            "frames": (block.frame_start, block.frame_end, block.frame_step),
            "timeline_markers": [(marker.name, marker.frame, uuid_of(marker.camera) if marker.camera else None)
                                 for marker in block.timeline_markers]}


def spline(item):
    return fields(item, 1) | {
        "points_count": len(item.points) - 1, "bezier_points_count": len(item.bezier_points) - 1,
        "points": packed(item.points, "co", "radius", "tilt", "weight"),
        "bezier_points": packed(item.bezier_points, "co", "handle_left", "handle_right", "handle_left_type",
                                "handle_right_type", "radius", "tilt")}


def curves(block):
    return fields(block, 1) | {"animation_data": animation(block), "type": "CURVE",
                               "splines": {n: spline(item) for n, item in enumerate(block.splines)},
                               "materials": [(uuid_of(item), item.name) for item in block.materials if item]}


def lattice(block):
    return fields(block, 1) | {"points": packed(block.points, "co_deform", "weight_softbody")}


def with_animation(block):
    return fields(block, 2) | {"animation_data": animation(block)}


def objects(block):
    result = fields(block, 1)
    result["matrix_world"] = plain(block.matrix_world)
    result["modifiers"] = {item.name: fields(item, 1) for item in block.modifiers}
    result["constraints"] = {item.name: fields(item, 1) for item in block.constraints}
    result["vertex_groups"] = [
        {"index": group.index, "name": group.name, "lock_weight": group.lock_weight,
         "vertices": [{"index": vertex.index, "weight": entry.weight} for vertex in block.data.vertices
                      for entry in vertex.groups if entry.group == group.index]}
        for group in block.vertex_groups]
    keys = getattr(block.data, "shape_keys", None)
    if keys is not None:
        result["shape_keys"] = {item.name: {"value": item.value, "data": packed(item.data, "co")}
                                for item in keys.key_blocks}
    if block.pose is not None:
        result["pose"] = {bone.name: fields(bone, 1, ["location", "rotation_mode", "rotation_quaternion", "scale",
                                                      "rotation_euler"]) for bone in block.pose.bones}
    result["animation_data"] = animation(block)
    result["parent_uid"] = (uuid_of(block.parent), block.parent_bone) if block.parent else None
    return result


# --- What is made and edited -------------------------------------------------------------------------

def link(block, name, to=None):
    made = bpy.data.objects.new(name, block)
    (to or bpy.context.scene.collection).objects.link(made)
    return made


def mesh_steps():
    import bmesh
    block = bpy.data.meshes.new("Terrain ‒ Süd")
    shape = bmesh.new()
    bmesh.ops.create_grid(shape, x_segments=24, y_segments=24, size=4.0, calc_uvs=True)
    shape.to_mesh(block)
    shape.free()
    block.uv_layers.new(name="UVMap")
    yield block
    for number, vertex in enumerate(block.vertices):
        if number % 3 == 0:
            vertex.co.z = np.sin(number * 0.37)
    yield block
    block.materials.append(bpy.data.materials.new("Rock"))
    block.polygons.foreach_set("use_smooth", [True] * len(block.polygons))
    yield block
    layer = block.attributes.new("wetness", "FLOAT", "POINT")
    layer.data.foreach_set("value", np.linspace(0, 1, len(block.vertices), dtype=np.float32))
    block.uv_layers.new(name="Detail")
    yield block
    block.attributes.remove(block.attributes["wetness"])
    block.uv_layers.remove(block.uv_layers["UVMap"])
    block.edges[5].use_seam = True
    yield block
    shape = bmesh.new()
    shape.from_mesh(block)
    bmesh.ops.subdivide_edges(shape, edges=shape.edges[:40], cuts=2)
    shape.to_mesh(block)
    shape.free()
    yield block
    block.clear_geometry()
    yield block


def material_steps():
    block = bpy.data.materials.new("Glass \"it's\"")
    block.use_nodes = True
    yield block
    tree = block.node_tree
    shader = tree.nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = 0.125
    shader.inputs["Base Color"].default_value = (0.1, 0.4, 0.9, 1.0)
    yield block
    noise = tree.nodes.new("ShaderNodeTexNoise")
    ramp = tree.nodes.new("ShaderNodeValToRGB")
    tree.links.new(noise.outputs[0], ramp.inputs[0])
    tree.links.new(ramp.outputs[0], shader.inputs[0])
    yield block
    ramp.color_ramp.elements.new(0.5).color = (1, 0, 0, 1)
    mixer = tree.nodes.new("ShaderNodeRGBCurve")
    mixer.mapping.curves[0].points.new(0.25, 0.75)
    yield block
    noise.name = "noise['x'].y"
    noise.location = (-400, 120)
    ramp.color_ramp.elements.remove(ramp.color_ramp.elements[1])
    yield block
    tree.links.remove(tree.links[0])
    tree.nodes.remove(mixer)
    block.name = "Glass"
    yield block
    group = bpy.data.node_groups.new("Dirt", "ShaderNodeTree")
    tree.nodes.new("ShaderNodeGroup").node_tree = group
    frame = tree.nodes.new("NodeFrame")
    shader.parent = frame
    yield block
    block.use_nodes = False
    yield block


def armature_steps():
    block = bpy.data.armatures.new("Rig")
    rig = link(block, "Rig")
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    parent = None
    for number in range(12):
        bone = block.edit_bones.new(f"bone.{number:03}")
        bone.head, bone.tail = (0, 0, number), (0, 0.1 * number, number + 1)
        bone.parent = parent
        parent = bone
    bpy.ops.object.mode_set(mode="OBJECT")
    yield block
    for bone in block.bones:
        bone.use_deform = not bone.use_deform
    block.display_type = "STICK"
    yield block
    bpy.ops.object.mode_set(mode="EDIT")
    block.edit_bones.remove(block.edit_bones["bone.007"])
    block.edit_bones["bone.003"].name = "Arm.L"
    block.edit_bones["bone.005"].tail.x = 3
    bpy.ops.object.mode_set(mode="OBJECT")
    yield block


def action_steps():
    target = link(None, "Animated")
    for frame in (1, 10, 20, 35):
        target.location = (frame * 0.5, -frame, 0)
        target.keyframe_insert("location", frame=frame)
        target.keyframe_insert("rotation_euler", frame=frame)
    block = target.animation_data.action
    yield block
    point = block.fcurves[0].keyframe_points[1]
    point.co.y = 7
    point.interpolation = "LINEAR"
    yield block
    target.keyframe_insert("scale", frame=50)
    target.keyframe_insert("location", frame=60)
    yield block
    block.fcurves.remove(block.fcurves[1])
    block.fcurves[0].modifiers.new("CYCLES")
    yield block
    while len(block.fcurves) > 1:
        block.fcurves.remove(block.fcurves[0])
    yield block


def collection_steps():
    block = bpy.data.collections.new("Props")
    bpy.context.scene.collection.children.link(block)
    empties = [link(None, f"Prop.{number:03}", block) for number in range(30)]
    yield block
    for number in (3, 17, 28):
        block.objects.unlink(empties[number])
    yield block
    for number in range(5):
        link(None, f"Late.{number}", block)
    block.instance_offset = (1, 2, 3)
    yield block
    block.children.link(bpy.data.collections.new("Inner"))
    block.objects.unlink(empties[0])
    link(None, "Replacement", block)
    yield block
    for item in list(block.objects):
        block.objects.unlink(item)
    yield block


def scene_steps():
    block = bpy.data.scenes.new("Shot 020")
    block.world = bpy.data.worlds.new("Sky")
    yield block
    block.render.resolution_x = 2048
    block.render.fps = 25
    block.frame_end = 1000
    yield block
    for number in range(6):
        block.timeline_markers.new(f"beat {number}", frame=number * 24)
        link(None, f"Actor.{number}", block.collection)
    yield block
    block.timeline_markers.remove(block.timeline_markers[2])
    block.timeline_markers[0].frame = 99
    block.timeline_markers.new("beat 1", frame=24)
    block.collection.objects.unlink(block.collection.objects[1])
    yield block
    block.view_settings.use_curve_mapping = True
    block.unit_settings.system = "IMPERIAL"
    block.world = None
    yield block


def curve_steps():
    block = bpy.data.curves.new("Path", "CURVE")
    first = block.splines.new("BEZIER")
    first.bezier_points.add(7)
    yield block
    first.bezier_points[2].co = (1, 2, 3)
    first.bezier_points[3].handle_left_type = "VECTOR"
    block.bevel_depth = 0.25
    yield block
    second = block.splines.new("NURBS")
    second.points.add(15)
    yield block
    block.splines.remove(block.splines[0])
    yield block
    block.splines.clear()
    yield block


def lattice_steps():
    block = bpy.data.lattices.new("Cage")
    block.points_u, block.points_v, block.points_w = 4, 4, 3
    yield block
    for number, point in enumerate(block.points):
        point.co_deform.x += 0.01 * number
    yield block
    block.points_w = 2
    block.interpolation_type_u = "KEY_LINEAR"
    yield block


def camera_steps():
    block = bpy.data.cameras.new("Camera")
    yield block
    block.lens = 85.0
    block.dof.use_dof = True
    block.dof.aperture_fstop = 1.4
    yield block
    block.type = "ORTHO"
    block.show_background_images = True
    block.background_images.new()
    yield block


def light_steps():
    block = bpy.data.lights.new("Key", "AREA")
    yield block
    block.energy = 1250.5
    block.color = (1.0, 0.5, 0.25)
    block.keyframe_insert("energy", frame=1)
    yield block
    block.animation_data_clear()
    block.use_shadow = False
    yield block


def object_steps():
    block = bpy.data.meshes.new("Body")
    block.from_pydata([(x, y, 0) for x in range(6) for y in range(6)], [],
                      [(6 * x + y, 6 * x + y + 1, 6 * x + y + 7, 6 * x + y + 6) for x in range(5) for y in range(5)])
    made = link(block, "Body")
    yield made
    made.location, made.rotation_euler, made.scale = (1, 2, 3), (0.1, 0.2, 0.3), (2, 2, 2)
    yield made
    made.modifiers.new("Sub", "SUBSURF").levels = 3
    made.modifiers.new("Arr", "ARRAY").count = 5
    made.constraints.new("COPY_LOCATION")
    yield made
    group = made.vertex_groups.new(name="arm")
    group.add(range(12), 0.75, "REPLACE")
    made.shape_key_add(name="Basis")
    made.shape_key_add(name="Smile").value = 0.5
    yield made
    group.remove([0, 5, 6])
    made.vertex_groups.new(name="leg").add([1, 2], 1.0, "REPLACE")
    made.modifiers.remove(made.modifiers["Sub"])
    made.data.shape_keys.key_blocks["Smile"].data[3].co.z = 9
    yield made
    made.parent = link(None, "Parent")
    made.constraints.clear()
    driver = made.driver_add("location", 0).driver
    driver.expression = "frame / 10"
    yield made


def pose_steps():
    made = bpy.data.objects["Rig"]
    yield made
    for number, bone in enumerate(made.pose.bones):
        bone.rotation_quaternion = (0.9, 0.1 * number, 0, 0)
    yield made
    made.pose.bones[0].location = (5, 6, 7)
    made.pose.bones[0].rotation_mode = "XYZ"
    yield made


KINDS = {
    "mesh": (mesh, mesh_steps), "material": (material, material_steps), "armature": (armature, armature_steps),
    "action": (action, action_steps), "collection": (collection, collection_steps), "scene": (scene, scene_steps),
    "curve": (curves, curve_steps), "lattice": (lattice, lattice_steps), "camera": (with_animation, camera_steps),
    "light": (with_animation, light_steps), "object": (objects, object_steps), "pose": (objects, pose_steps),
}


def states(kind):
    """The data of one block after each edit."""
    dump, steps = KINDS[kind]
    for block in steps():
        data = dump(block)
        data["type_id"] = type(block).__name__
        data["uuid"] = uuid_of(block)
        yield pickle.loads(pickle.dumps(data, protocol=4))


def record(path):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        def write(name, content):
            entry = zipfile.ZipInfo(name)  # without the time of day
            entry.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(entry, content)

        for kind in KINDS:
            options = {"ignore_order": True, "report_repetition": True} if kind in UNORDERED else {}
            old = None
            for number, new in enumerate(states(kind)):
                if old is None:
                    write(f"{kind}/{number:03}.node", pickle.dumps(new, protocol=4))
                else:
                    delta = Delta(DeepDiff(old, new, cache_size=5000, **options)).dumps()
                    write(f"{kind}/{number:03}.delta", delta)
                old = new


if __name__ == "__main__":
    record(sys.argv[1])
